"""Crops and flips of a whole batch of uint8 images at once."""

import torch
import torch.nn.functional as F
from torch import Generator, Tensor
from torchvision.transforms import v2


def random_crop(images: Tensor, padding: int, generator: Generator) -> Tensor:
    """Reflect-pad by ``padding`` pixels and crop each image at its own offset, back to its size.

    ``images`` uint8 [batch, channels, height, width]; returns the same shape. One gather for the batch.
    """
    if padding == 0:
        return images
    batch, _, height, width = images.shape
    padded = F.pad(images.float(), (padding,) * 4, mode="reflect").to(images.dtype)
    tops = torch.randint(0, 2 * padding + 1, (batch, 1), generator=generator)
    lefts = torch.randint(0, 2 * padding + 1, (batch, 1), generator=generator)
    rows = tops + torch.arange(height)
    columns = lefts + torch.arange(width)
    at = torch.arange(batch)[:, None, None]
    return padded[at, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2).contiguous()


def random_flip(images: Tensor, probability: float, generator: Generator) -> Tensor:
    """Flip each image left to right with ``probability``. Shape [batch, channels, height, width], kept."""
    is_flipped = torch.rand(len(images), generator=generator) < probability
    return torch.where(is_flipped[:, None, None, None], images.flip(-1), images)


def random_resized_crop(images: Tensor, smallest: float) -> Tensor:
    """A box of at least ``smallest`` of the area, resized back to the image's size, for each image.

    torchvision's `RandomResizedCrop`; draws from torch's global generator.
    """
    crop = v2.RandomResizedCrop(tuple(images.shape[-2:]), scale=(smallest, 1.0), antialias=True)
    return torch.stack([crop(image) for image in images])
