"""mixup (Zhang et al. 2017), cutmix (Yun et al. 2019) and RICAP, drawn once per batch for all views."""

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Generator, Tensor

from raysearch.augment.draws import draw_beta
from raysearch.augment.ricap import draw_ricap
from raysearch.config import AugmentConfig


class Mix(Protocol):
    """The mixing of one batch. Images and labels may be on any device and are not changed in place."""

    def images(self, images: Tensor) -> Tensor:
        """The mixed images, float [batch, channels, height, width] like the input."""

    def labels(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Classes int64 and masses float32, both [batch, slots], for ``labels`` int64 [batch].

        The masses of an image sum to 1.
        """


@dataclass(frozen=True)
class Mixup:
    """Every pixel of image i is ``share`` of image i and 1 - ``share`` of image ``partner[i]``."""

    partner: Tensor
    share: float

    def images(self, images: Tensor) -> Tensor:
        return images * self.share + images[self.partner.to(images.device)] * (1 - self.share)

    def labels(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        return _pair_labels(labels, self.partner, self.share)


@dataclass(frozen=True)
class Cutmix:
    """Image i gets ``box`` from image ``partner[i]`` and keeps ``share`` of its own area.

    ``box``: top, bottom, left, right in pixels; bottom and right are not included.
    """

    partner: Tensor
    share: float
    box: tuple[int, int, int, int]

    def images(self, images: Tensor) -> Tensor:
        top, bottom, left, right = self.box
        mixed = images.clone()
        mixed[:, :, top:bottom, left:right] = images[:, :, top:bottom, left:right][self.partner.to(images.device)]
        return mixed

    def labels(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        return _pair_labels(labels, self.partner, self.share)


def draw_mix(config: AugmentConfig, batch: int, height: int, width: int, generator: Generator) -> Mix | None:
    """The mixing of a batch, or None if the batch is not mixed."""
    is_mixed, picks_cutmix = torch.rand(2, generator=generator) < torch.tensor([config.mix_prob, config.switch_prob])
    if config.mixing == "none" or not is_mixed:
        return None
    operation = ("cutmix" if picks_cutmix else "mixup") if config.mixing == "both" else config.mixing
    if operation == "ricap":
        return draw_ricap(config.ricap_beta, config.ricap_crop, batch, height, width, generator)
    partner = torch.randperm(batch, generator=generator)
    if operation == "mixup":
        return Mixup(partner, draw_beta(config.mixup_alpha, generator))
    box = _draw_box(draw_beta(config.cutmix_alpha, generator), height, width, generator)
    top, bottom, left, right = box
    return Cutmix(partner, 1 - (bottom - top) * (right - left) / (height * width), box)


def _pair_labels(labels: Tensor, partner: Tensor, share: float) -> tuple[Tensor, Tensor]:
    masses = torch.tensor([share, 1 - share], device=labels.device).expand(len(labels), 2)
    return torch.stack([labels, labels[partner.to(labels.device)]], 1), masses


def _draw_box(share: float, height: int, width: int, generator: Generator) -> tuple[int, int, int, int]:
    """A box of about 1 - ``share`` of the area around a uniform centre, cut at the image's edges."""
    side = math.sqrt(1 - share)
    centre_y = int(torch.randint(height, (), generator=generator))
    centre_x = int(torch.randint(width, (), generator=generator))
    half_height, half_width = int(height * side) // 2, int(width * side) // 2
    top, bottom = max(0, centre_y - half_height), min(height, centre_y + half_height)
    left, right = max(0, centre_x - half_width), min(width, centre_x + half_width)
    return top, bottom, left, right
