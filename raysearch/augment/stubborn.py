"""Stubborn image augmentation (JZ "SIA"): colour shift and contrast stretch for the classes that are learned worst.

JZ say: each colour channel is taken as Gaussian and its mean and deviation are changed, "basically reducing" red and
blue; then each channel's contrast is stretched at random. The magnitudes are ours, in `StubbornConfig`, and so is
which images are stubborn.
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
    """For each image and channel, float [batch, 3] each: ``scales`` of the spread about the mean, ``shifts`` of the
    mean in pixel values, and the shares of pixels that the stretch clips, ``low`` darkest and ``high`` brightest."""

    scales: Tensor
    shifts: Tensor
    low: Tensor
    high: Tensor

    def images(self, images: Tensor) -> Tensor:
        """uint8 [batch, 3, height, width] in and out: x -> (x - mean) scale + mean + shift, then the stretch.

        The stretch draws what lies between the two percentiles out over the channel's own range and clips the rest.
        Drawn out over all of 0 to 255 it would undo the shift and the scale before it.
        """
        pixels = images.flatten(2).float()
        mean = pixels.mean(2, keepdim=True)
        pixels = (pixels - mean) * self.scales[..., None] + mean + self.shifts[..., None]
        return _stretched(pixels, self.low, self.high).round().clamp(0, 255).to(torch.uint8).view(images.shape)


def stubborn_augmentation(images: Tensor, is_stubborn: Tensor, config: StubbornConfig, generator: Generator) -> Tensor:
    """Shift the colours of images that ``is_stubborn`` (bool [batch]) flags, each with ``config.probability``.

    ``images``: uint8 [batch, 3, height, width], kept.
    """
    is_shifted = is_stubborn.cpu() & (torch.rand(len(images), generator=generator) < config.probability)
    chosen = is_shifted.nonzero()[:, 0]
    if len(chosen) == 0:
        return images
    augmented = images.clone()
    augmented[chosen] = draw_colour_shift(len(chosen), config, generator).images(images[chosen])
    return augmented


def draw_colour_shift(batch: int, config: StubbornConfig, generator: Generator) -> ColourShift:
    """Uniform draws for every image and channel, up to the magnitudes of ``config``."""
    scales, shifts, low, high = torch.rand(4, batch, 3, generator=generator)
    return ColourShift(
        scales=1 + config.scale * (2 * scales - 1),
        shifts=-255 * config.shift * shifts * torch.tensor(IS_DARKENED),
        low=config.clip * low,
        high=config.clip * high,
    )


def stubborn_classes(recalls: np.ndarray, config: StubbornConfig) -> np.ndarray:
    """bool [classes]: which classes are stubborn, by their held-out recall, float [classes].

    Those of a recall below ``config.recall_below``, if that is given, or else the lowest ``config.share`` of the
    classes, rounded, at least one, of equal ones the first. A class without held-out images (a recall of NaN) is
    not stubborn.
    """
    if config.recall_below is not None:
        return recalls < config.recall_below
    count = max(1, round(config.share * len(recalls)))
    is_stubborn = np.zeros(len(recalls), dtype=bool)
    is_stubborn[np.argsort(recalls, kind="stable")[:count]] = True
    return is_stubborn & ~np.isnan(recalls)


def _stretched(pixels: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """float [batch, channels, pixels]; a channel whose two percentiles are one value has nothing to stretch."""
    ordered = pixels.sort(2).values
    last = pixels.shape[2] - 1
    darkest, brightest = ordered[..., :1], ordered[..., -1:]
    bottom = ordered.gather(2, (low * last).round().long()[..., None])
    top = ordered.gather(2, ((1 - high) * last).round().long()[..., None])
    stretched = (pixels - bottom) * (brightest - darkest) / (top - bottom).clamp_min(1e-6) + darkest
    return torch.where(top > bottom, stretched.clamp(darkest, brightest), pixels)
