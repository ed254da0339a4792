"""Cutout (DeVries and Taylor 2017): fills a square with the mean colour, on normalised images."""

import torch
from torch import Generator, Tensor

from raysearch.augment.boxes import Boxes


def random_cutout(images: Tensor, probability: float, size: float, generator: Generator) -> Tensor:
    """Cut a square out of each image with ``probability``. Does not change ``images`` in place.

    ``images``: normalised float [batch, channels, height, width]; ``size``: side of the square as a share of the
    image's shorter side.
    """
    if probability == 0:
        return images
    batch, _, height, width = images.shape
    return cut_out(images, draw_cutout(batch, height, width, probability, size, generator))


def draw_cutout(batch: int, height: int, width: int, probability: float, size: float, generator: Generator) -> Boxes:
    """Squares centred on a uniformly drawn pixel. As in the paper, a part may lie outside the image."""
    side = round(size * min(height, width))
    sides = torch.where(torch.rand(batch, generator=generator) < probability, side, 0)
    tops = torch.randint(height, (batch,), generator=generator) - side // 2
    lefts = torch.randint(width, (batch,), generator=generator) - side // 2
    return Boxes(tops, tops + sides, lefts, lefts + sides)


def cut_out(images: Tensor, boxes: Boxes) -> Tensor:
    """Fill ``boxes`` with 0, the mean colour of normalised images."""
    return images.masked_fill(boxes.mask(*images.shape[-2:]).to(images.device), 0)
