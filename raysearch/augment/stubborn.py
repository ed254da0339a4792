"""Stubborn image augmentation (JZ "SIA"): colour shift and contrast stretch for the classes with the lowest recall.

JZ treat each colour channel as Gaussian and change its mean and deviation, "basically reducing" red and blue. Then they
stretch the contrast of each channel at random. The magnitudes and the rule for stubborn images are our choice, set in
`StubbornConfig`.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Generator, Tensor

from raysearch.config import StubbornConfig

IS_DARKENED = (True, False, True)
"""Red and blue, of RGB."""


@dataclass(frozen=True)
class ColourShift:
    """The parameters for each image and channel, float [batch, 3] each.

    ``scales`` of the deviation from the mean; ``shifts`` of the mean, in pixel values; ``low`` and ``high``, the shares
    of the darkest and brightest pixels that the stretch clips.
    """

    scales: Tensor
    shifts: Tensor
    low: Tensor
    high: Tensor

    def images(self, images: Tensor) -> Tensor:
        """uint8 [batch, 3, height, width] in and out: x -> (x - mean) scale + mean + shift, then the stretch.

        The stretch maps the values between the two percentiles to the range of the channel and clips the others.
        Mapping to 0..255 would undo the shift and the scale.
        """
        pixels = images.flatten(2).float()
        mean = pixels.mean(2, keepdim=True)
        pixels = (pixels - mean) * self.scales[..., None] + mean + self.shifts[..., None]
        return _stretch(pixels, self.low, self.high).round().clamp(0, 255).to(torch.uint8).view(images.shape)


def stubborn_augmentation(images: Tensor, is_stubborn: Tensor, config: StubbornConfig, generator: Generator) -> Tensor:
    """Shift the colours of stubborn images, each with ``config.probability``. Does not change ``images`` in place.

    ``images``: uint8 [batch, 3, height, width]; ``is_stubborn``: bool [batch].
    """
    is_shifted = is_stubborn.cpu() & (torch.rand(len(images), generator=generator) < config.probability)
    chosen = is_shifted.nonzero()[:, 0]
    if len(chosen) == 0:
        return images
    augmented = images.clone()
    augmented[chosen] = draw_colour_shift(len(chosen), config, generator).images(images[chosen])
    return augmented


def draw_colour_shift(batch: int, config: StubbornConfig, generator: Generator) -> ColourShift:
    """Uniform draws for every image and channel, limited by the magnitudes in ``config``."""
    scales, shifts, low, high = torch.rand(4, batch, 3, generator=generator)
    return ColourShift(
        scales=1 + config.scale * (2 * scales - 1),
        shifts=-255 * config.shift * shifts * torch.tensor(IS_DARKENED),
        low=config.clip * low,
        high=config.clip * high,
    )


def stubborn_classes(recalls: np.ndarray, config: StubbornConfig) -> np.ndarray:
    """Which classes are stubborn, bool [classes], by held-out ``recalls``, float [classes].

    With ``config.recall_below``: the classes with a lower recall. Otherwise: the ``config.share`` of the classes with
    the lowest recalls, rounded, at least one; the first of equal classes counts as lower. A class without held-out
    images (a recall of NaN) is not stubborn.
    """
    if config.recall_below is not None:
        return recalls < config.recall_below
    count = max(1, round(config.share * len(recalls)))
    is_stubborn = np.zeros(len(recalls), dtype=bool)
    is_stubborn[np.argsort(recalls, kind="stable")[:count]] = True
    return is_stubborn & ~np.isnan(recalls)


def _stretch(pixels: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """The stretched channels, float [batch, channels, pixels]. Channels with two equal percentiles stay unchanged."""
    ordered = pixels.sort(2).values
    last = pixels.shape[2] - 1
    darkest, brightest = ordered[..., :1], ordered[..., -1:]
    bottom = ordered.gather(2, (low * last).round().long()[..., None])
    top = ordered.gather(2, ((1 - high) * last).round().long()[..., None])
    stretched = (pixels - bottom) * (brightest - darkest) / (top - bottom).clamp_min(1e-6) + darkest
    return torch.where(top > bottom, stretched.clamp(darkest, brightest), pixels)
