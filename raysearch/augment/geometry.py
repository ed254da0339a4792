"""Crops and flips of a whole batch of uint8 images in one operation."""

from dataclasses import dataclass

import torch
from torch import Generator, Tensor


@dataclass(frozen=True)
class CropFlip:
    """One crop per image from the reflect-padded image, of the image's own size, and whether to flip it.

    ``tops`` and ``lefts``: int64 [batch], start of the crop in pixels of the image without padding, from -padding to
    padding; ``is_flipped``: bool [batch].
    """

    tops: Tensor
    lefts: Tensor
    is_flipped: Tensor

    def images(self, images: Tensor) -> Tensor:
        """uint8 [batch, channels, height, width] in and out.

        Does not pad. A position in the padding maps to the pixel that it mirrors, and a flip reverses the columns. So
        each pixel of the result comes from one row and one column of its image, and one gather reads all of them.
        """
        batch, channels, height, width = images.shape
        columns = torch.arange(width)
        columns = torch.where(self.is_flipped[:, None], columns.flip(0), columns)
        rows = _reflect(self.tops[:, None] + torch.arange(height), height)
        columns = _reflect(self.lefts[:, None] + columns, width)
        places = (rows[:, :, None] * width + columns[:, None, :]).view(batch, 1, -1).to(images.device)
        return images.reshape(batch, channels, -1).gather(2, places.expand(-1, channels, -1)).view(images.shape)


def draw_crop_flip(batch: int, padding: int, probability: float, generator: Generator) -> CropFlip:
    """Uniform crops after padding by ``padding`` pixels (less than the side), and flips with ``probability``."""
    tops, lefts = torch.randint(-padding, padding + 1, (2, batch), generator=generator)
    return CropFlip(tops, lefts, torch.rand(batch, generator=generator) < probability)


def _reflect(places: Tensor, size: int) -> Tensor:
    """Maps positions up to size - 1 outside the image to the positions that they mirror."""
    last = size - 1
    return last - (last - places.abs()).abs()
