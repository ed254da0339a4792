"""RICAP (Takahashi et al. 2018; JZ's "RICP"): an image of four images' patches around one point."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Generator, Tensor

from raysearch.augment.draws import draw_beta


@dataclass(frozen=True)
class Patch:
    """The part of every mixed image from pixel (``top``, ``left``), ``height`` by ``width``: image i's is taken from
    image ``partner[i]``, there from pixel (``from_top``, ``from_left``)."""

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
    """Four patches that tile the image: upper left, upper right, lower left, lower right. Some may be empty."""

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
        """Four slots, one for each patch, of its share of the area."""
        whole = sum(patch.area for patch in self.patches)
        masses = torch.tensor([patch.area / whole for patch in self.patches], device=labels.device)
        classes = torch.stack([labels[patch.partner.to(labels.device)] for patch in self.patches], 1)
        return classes, masses.expand(len(labels), -1)


def draw_ricap(
    beta: float, crop: Literal["uniform", "middle"], batch: int, height: int, width: int, generator: Generator
) -> Ricap:
    """One point for the batch, its row and column each Beta(beta, beta) of the side, rounded to pixels.

    The first patch is the image's own (the identity), the others have a random permutation each: drawing the first
    too, as the paper does, would only change the order of the batch. A patch is taken from anywhere in its image
    (`uniform`), at one place for the batch as in the paper, or from the middle, rounded up and left (JZ).
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
