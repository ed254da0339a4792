"""mixup (Zhang et al. 2017) and cutmix (Yun et al. 2019), drawn once a batch and applied alike to every view."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Generator, Tensor

from raysearch.config import AugmentConfig


@dataclass(frozen=True)
class Mix:
    """One batch's mixing: image i keeps ``share`` of itself and takes the rest from ``partner[i]``.

    ``box`` is (top, bottom, left, right) in pixels for cutmix, None for mixup.
    """

    partner: Tensor
    share: float
    box: tuple[int, int, int, int] | None

    def images(self, images: Tensor) -> Tensor:
        """Mixed images, float [batch, channels, height, width]; the input is left as it is."""
        if self.box is None:
            return images * self.share + images[self.partner] * (1 - self.share)
        top, bottom, left, right = self.box
        mixed = images.clone()
        mixed[:, :, top:bottom, left:right] = images[self.partner, :, top:bottom, left:right]
        return mixed

    def labels(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        """``labels`` int64 [batch] as (classes, masses), both [batch, 2]."""
        masses = torch.tensor([self.share, 1 - self.share]).expand(len(labels), 2)
        return torch.stack([labels, labels[self.partner]], 1), masses


def draw_mix(config: AugmentConfig, batch: int, height: int, width: int, generator: Generator) -> Mix | None:
    """A batch's mixing, or None where it stays as it is."""
    is_mixed, picks_cutmix = torch.rand(2, generator=generator) < torch.tensor([config.mix_prob, config.switch_prob])
    if config.mixing == "none" or not is_mixed:
        return None
    operation = ("cutmix" if picks_cutmix else "mixup") if config.mixing == "both" else config.mixing
    partner = torch.randperm(batch, generator=generator)
    if operation == "mixup":
        return Mix(partner, _beta(config.mixup_alpha, generator), None)
    box = _box(_beta(config.cutmix_alpha, generator), height, width, generator)
    top, bottom, left, right = box
    return Mix(partner, 1 - (bottom - top) * (right - left) / (height * width), box)


def _beta(alpha: float, generator: Generator) -> float:
    """A draw from Beta(alpha, alpha). torch's own takes no generator, so NumPy's is seeded from ours."""
    seed = int(torch.randint(2**62, (), generator=generator))
    return float(np.random.default_rng(seed).beta(alpha, alpha))


def _box(share: float, height: int, width: int, generator: Generator) -> tuple[int, int, int, int]:
    """A box of about (1 - share) of the area around a uniform centre, cut at the image's edges."""
    side = math.sqrt(1 - share)
    centre_y = int(torch.randint(height, (), generator=generator))
    centre_x = int(torch.randint(width, (), generator=generator))
    half_height, half_width = int(height * side) // 2, int(width * side) // 2
    top, bottom = max(0, centre_y - half_height), min(height, centre_y + half_height)
    left, right = max(0, centre_x - half_width), min(width, centre_x + half_width)
    return top, bottom, left, right
