"""Random resized crops (Szegedy et al. 2015) of whole images of any size, drawn for a batch and then applied.

The boxes have the distribution of torchvision's `RandomResizedCrop`, and the pixels equal those that it computes on
tensors with antialiasing. The channels stay last in memory, as in the stored images: for this layout, torch resizes
uint8 with vector instructions and without changing the layout before and after.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from raysearch.augment.draws import draw_seed

RATIO = (3 / 4, 4 / 3)
"""Narrowest and widest box, width / height."""
TRIES = 10
"""Boxes drawn per image. If none fits, the largest central box with a shape in `RATIO` is used."""


@dataclass(frozen=True)
class ResizedCrops:
    """One box per image, and whether to flip the crop.

    ``starts`` and ``ends``: int64 [batch, 2], (row, column) in pixels of the image; the end is not included.
    ``is_flipped``: bool [batch].
    """

    starts: np.ndarray
    ends: np.ndarray
    is_flipped: np.ndarray

    def images(self, images: Sequence[np.ndarray], image_size: int) -> Tensor:
        """uint8 [batch, 3, image_size, image_size], channels last in memory, from uint8 arrays [height, width, 3]."""
        shape = (len(images), 3, image_size, image_size)
        crops = torch.empty(shape, dtype=torch.uint8, memory_format=torch.channels_last)
        drawn = zip(self.starts.tolist(), self.ends.tolist(), self.is_flipped.tolist(), strict=True)
        for into, image, ((top, left), (bottom, right), is_flipped) in zip(crops, images, drawn, strict=True):
            crop = torch.from_numpy(image[top:bottom, left:right].copy())[None].permute(0, 3, 1, 2)
            resized = F.interpolate(crop, size=shape[2:], mode="bilinear", antialias=True)[0]
            into.copy_(resized.flip(-1) if is_flipped else resized)
        return crops


def random_resized_crops(
    images: Sequence[np.ndarray], image_size: int, smallest: float, generator: Generator, hflip: float = 0.0
) -> Tensor:
    """Crop each image to a box of at least ``smallest`` of its area, resize it, and flip it with probability ``hflip``.

    Returns uint8 [batch, 3, image_size, image_size] from uint8 arrays [height, width, 3].
    """
    sizes = np.array([image.shape[:2] for image in images])
    return draw_resized_crops(sizes, smallest, hflip, generator).images(images, image_size)


def draw_resized_crops(sizes: np.ndarray, smallest: float, hflip: float, generator: Generator) -> ResizedCrops:
    """Boxes for images of ``sizes``, int64 [batch, 2] (height, width).

    The share of the area is uniform from ``smallest`` to 1, the aspect is log-uniform in `RATIO`, and the position is
    uniform.
    """
    # NumPy: torch takes three times as long for these small operations.
    random = np.random.default_rng(draw_seed(generator))
    batch = len(sizes)
    shares, shapes = random.random((2, batch, TRIES))
    areas = sizes.prod(1, keepdims=True) * (smallest + (1 - smallest) * shares)
    ratios = RATIO[0] * (RATIO[1] / RATIO[0]) ** shapes
    tries = np.sqrt([areas / ratios, areas * ratios]).round().astype(np.int64).transpose(1, 2, 0)
    fits: np.ndarray = np.all((tries >= 1) & (tries <= sizes[:, None]), axis=2)
    is_middle = ~np.any(fits, axis=1, keepdims=True)
    boxes = np.where(is_middle, _largest_boxes(sizes), tries[np.arange(batch), fits.argmax(1)])
    spare = sizes - boxes
    starts = np.where(is_middle, spare // 2, (random.random((batch, 2)) * (spare + 1)).astype(np.int64))
    return ResizedCrops(starts, starts + boxes, random.random(batch) < hflip)


def _largest_boxes(sizes: np.ndarray) -> np.ndarray:
    """The largest boxes with a shape in `RATIO`; they cut the ends of images that are too wide or too high."""
    heights, widths = sizes.T
    longest_heights, longest_widths = np.round([widths / RATIO[0], heights * RATIO[1]]).astype(np.int64)
    return np.stack([np.minimum(heights, longest_heights), np.minimum(widths, longest_widths)], 1)
