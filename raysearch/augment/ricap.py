"""RICAP (Takahashi et al. 2018; JZ's "RICP"): joins patches of four images at one point."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Generator, Tensor

from raysearch.augment.draws import draw_beta


@dataclass(frozen=True)
class Patch:
    """A patch of every mixed image: ``height`` x ``width`` pixels, starting at pixel (``top``, ``left``).

    In mixed image i it comes from image ``partner[i]``, starting at pixel (``from_top``, ``from_left``).
    """

    partner: Tensor
    top: int
    left: int
    height: int
    width: int
    from_top: int
    from_left: int

    @property
    def area(self) -> int:
        return self.height * self.width


@dataclass(frozen=True)
class Ricap:
    """Four patches that cover the image: upper left, upper right, lower left, lower right. A patch may be empty."""

    patches: tuple[Patch, ...]

    def images(self, images: Tensor) -> Tensor:
        mixed = torch.empty_like(images)
        for patch in self.patches:
            into = mixed[:, :, patch.top : patch.top + patch.height, patch.left : patch.left + patch.width]
            rows = slice(patch.from_top, patch.from_top + patch.height)
            columns = slice(patch.from_left, patch.from_left + patch.width)
            into.copy_(images[:, :, rows, columns][patch.partner.to(images.device)])
        return mixed

    def labels(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Four slots, one per patch; the mass is the patch's share of the area."""
        whole = sum(patch.area for patch in self.patches)
        masses = torch.tensor([patch.area / whole for patch in self.patches], device=labels.device)
        classes = torch.stack([labels[patch.partner.to(labels.device)] for patch in self.patches], 1)
        return classes, masses.expand(len(labels), -1)


def draw_ricap(
    beta: float, crop: Literal["uniform", "middle"], batch: int, height: int, width: int, generator: Generator
) -> Ricap:
    """Draw one point for the batch: its row and column are Beta(beta, beta) shares of the side, in whole pixels.

    The first patch is from the image itself, and each of the others uses a random permutation. The paper permutes the
    first too, which only changes the order of the batch. With ``crop`` `uniform`, the position of a patch in its source
    image is uniform and the same for the whole batch, as in the paper; with `middle` it is the centre, rounded up and
    left (JZ).
    """
    split_row = round(height * draw_beta(beta, generator))
    split_column = round(width * draw_beta(beta, generator))
    patches: list[Patch] = []
    for top, patch_height in ((0, split_row), (split_row, height - split_row)):
        for left, patch_width in ((0, split_column), (split_column, width - split_column)):
            partner = torch.randperm(batch, generator=generator) if patches else torch.arange(batch)
            spare = (height - patch_height, width - patch_width)
            from_top, from_left = (int(torch.randint(n + 1, (), generator=generator)) for n in spare)
            if crop == "middle":
                from_top, from_left = spare[0] // 2, spare[1] // 2
            patches.append(Patch(partner, top, left, patch_height, patch_width, from_top, from_left))
    return Ricap(tuple(patches))
