"""Random erasing (Zhong et al. 2020): fills a rectangle with normal noise, on normalised images."""

import math

import torch
from torch import Generator, Tensor

from raysearch.augment.boxes import Boxes
from raysearch.augment.draws import draw_seed

AREA = (0.02, 1 / 3)
"""Smallest and largest erased share of the image area; timm's defaults."""
ASPECT = (0.3, 1 / 0.3)
"""Smallest and largest height / width of the rectangle."""


def random_erasing(images: Tensor, probability: float, generator: Generator) -> Tensor:
    """Erase a rectangle of each image with ``probability``. Does not change ``images`` in place.

    ``images``: normalised float [batch, channels, height, width].
    """
    if probability == 0:
        return images
    batch, _, height, width = images.shape
    return erase(images, draw_erasing(batch, height, width, probability, generator), generator)


def draw_erasing(batch: int, height: int, width: int, probability: float, generator: Generator) -> Boxes:
    """A box of random area, aspect and position for each erased image, an empty box for the others."""
    is_erased, shares, shapes, tops, lefts = torch.rand(5, batch, generator=generator)
    area = height * width * (AREA[0] + shares * (AREA[1] - AREA[0]))
    aspect = torch.exp(math.log(ASPECT[0]) + shapes * math.log(ASPECT[1] / ASPECT[0]))
    heights = (area * aspect).sqrt().round().clamp(1, height)
    widths = (area / aspect).sqrt().round().clamp(1, width)
    tops = (tops * (height - heights + 1)).long()
    lefts = (lefts * (width - widths + 1)).long()
    heights = torch.where(is_erased < probability, heights, 0)
    return Boxes(tops, tops + heights.long(), lefts, lefts + widths.long())


def erase(images: Tensor, boxes: Boxes, generator: Generator) -> Tensor:
    """Fill ``boxes`` with normal noise, drawn only for their pixels and on the device of the images."""
    mask = boxes.mask(*images.shape[-2:])
    count = int(mask.sum()) * images.shape[1]
    if images.device.type != generator.device.type:
        generator = Generator(images.device).manual_seed(draw_seed(generator))
    noise = torch.randn(count, generator=generator, device=images.device, dtype=images.dtype)
    return images.masked_scatter(mask.to(images.device), noise)
