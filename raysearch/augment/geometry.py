"""Crops and flips of a whole batch of uint8 images at once."""

from dataclasses import dataclass

import torch
from torch import Generator, Tensor


@dataclass(frozen=True)
class CropFlip:
    """Each image's own crop of its reflect-padded self, back to its size, and whether that is then flipped.

    ``tops`` and ``lefts``: int64 [batch], where the crop starts, in pixels of the image without its padding, so
    from -padding to padding; ``is_flipped``: bool [batch].
    """

    tops: Tensor
    lefts: Tensor
    is_flipped: Tensor

    def images(self, images: Tensor) -> Tensor:
        """uint8 [batch, channels, height, width] in and out.

        Nothing is padded: a place in the padding is reflected to the pixel it repeats, a flip counts the columns
        backwards. So each pixel of the result stands at one row and column of its image, and one gather reads it.
        """
        batch, channels, height, width = images.shape
        columns = torch.arange(width)
        columns = torch.where(self.is_flipped[:, None], columns.flip(0), columns)
        rows = _reflected(self.tops[:, None] + torch.arange(height), height)
        columns = _reflected(self.lefts[:, None] + columns, width)
        places = (rows[:, :, None] * width + columns[:, None, :]).view(batch, 1, -1).to(images.device)
        return images.reshape(batch, channels, -1).gather(2, places.expand(-1, channels, -1)).view(images.shape)


def draw_crop_flip(batch: int, padding: int, probability: float, generator: Generator) -> CropFlip:
    """Crops after reflect-padding by ``padding`` pixels (less than an image's side), and flips of ``probability``."""
    tops, lefts = torch.randint(-padding, padding + 1, (2, batch), generator=generator)
    return CropFlip(tops, lefts, torch.rand(batch, generator=generator) < probability)


def _reflected(places: Tensor, size: int) -> Tensor:
    """Places of up to size - 1 outside an image's side, each as the place that it mirrors."""
    last = size - 1
    return last - (last - places.abs()).abs()
