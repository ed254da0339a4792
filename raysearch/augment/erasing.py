"""Random erasing (Zhong et al. 2020): a rectangle of normal noise, on normalised images."""

import math

import torch
from torch import Generator, Tensor

AREA = (0.02, 1 / 3)
"""Smallest and largest share of the image that is erased; timm's defaults."""
ASPECT = (0.3, 1 / 0.3)
"""Smallest and largest height / width of the rectangle."""


def random_erasing(images: Tensor, probability: float, generator: Generator) -> Tensor:
    """Erase a rectangle of each image with ``probability``. Float [batch, channels, height, width], kept."""
    batch, _, height, width = images.shape
    draws = torch.rand(batch, 5, generator=generator)
    is_erased = draws[:, 0] < probability
    if not is_erased.any():
        return images
    area = height * width * (AREA[0] + draws[:, 1] * (AREA[1] - AREA[0]))
    aspect = torch.exp(math.log(ASPECT[0]) + draws[:, 2] * (math.log(ASPECT[1]) - math.log(ASPECT[0])))
    heights = (area * aspect).sqrt().round().clamp(1, height)
    widths = (area / aspect).sqrt().round().clamp(1, width)
    inside = _between(height, draws[:, 3], heights)[:, :, None] & _between(width, draws[:, 4], widths)[:, None, :]
    noise = torch.randn(images.shape, generator=generator).to(images.dtype)
    return torch.where((inside & is_erased[:, None, None])[:, None], noise, images)


def _between(size: int, draw: Tensor, length: Tensor) -> Tensor:
    """bool [batch, size]: True on ``length`` places from a start that ``draw`` in [0, 1) picks."""
    start = (draw * (size - length + 1)).floor()[:, None]
    place = torch.arange(size)[None, :]
    return (place >= start) & (place < start + length[:, None])
