"""Random resized crops (Szegedy et al. 2015) of whole images of any size, drawn for a batch and then applied.

The boxes are those of torchvision's `RandomResizedCrop`, the pixels those of its tensor form with antialiasing. Fast
because pixels lie as in the file throughout, with the channels last: that is where torch's resizing of uint8 uses
vector instructions without turning the pixels around before and after.
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
"""Boxes drawn until one fits; else it is the largest in the middle whose shape is in `RATIO`."""


@dataclass(frozen=True)
class ResizedCrops:
    """Of each image its own box, int64 [batch, 2] each in its own pixels (down, across), from ``starts`` to before
    ``ends``; and whether the crop is then flipped, bool [batch]."""

    starts: np.ndarray
    ends: np.ndarray
    is_flipped: np.ndarray

    def images(self, images: Sequence[np.ndarray], image_size: int) -> Tensor:
        """uint8 arrays [height, width, 3] in, uint8 [batch, 3, image_size, image_size] out, channels last in memory."""
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
    """A box of at least ``smallest`` of each image's area, resized, and flipped left to right with probability
    ``hflip``: uint8 [batch, 3, image_size, image_size] from uint8 arrays [height, width, 3]."""
    sizes = np.array([image.shape[:2] for image in images])
    return draw_resized_crops(sizes, smallest, hflip, generator).images(images, image_size)


def draw_resized_crops(sizes: np.ndarray, smallest: float, hflip: float, generator: Generator) -> ResizedCrops:
    """Boxes in images of ``sizes``, int64 [batch, 2] (height, width): of a uniform share of the area, from
    ``smallest`` to 1, of a log-uniform shape in `RATIO`, anywhere in the image."""
    random = np.random.default_rng(draw_seed(generator))  # small steps for which torch takes thrice as long
    batch = len(sizes)
    shares, shapes = random.random((2, batch, TRIES))
    areas = sizes.prod(1, keepdims=True) * (smallest + (1 - smallest) * shares)
    ratios = RATIO[0] * (RATIO[1] / RATIO[0]) ** shapes
    tries = np.sqrt([areas / ratios, areas * ratios]).round().astype(np.int64).transpose(1, 2, 0)
    fits: np.ndarray = np.all((tries >= 1) & (tries <= sizes[:, None]), axis=2)
    is_middle = ~np.any(fits, axis=1, keepdims=True)
    boxes = np.where(is_middle, _largest(sizes), tries[np.arange(batch), fits.argmax(1)])
    spare = sizes - boxes
    starts = np.where(is_middle, spare // 2, (random.random((batch, 2)) * (spare + 1)).astype(np.int64))
    return ResizedCrops(starts, starts + boxes, random.random(batch) < hflip)


def _largest(sizes: np.ndarray) -> np.ndarray:
    """The largest boxes of a shape in `RATIO`: an image that is too wide or too high loses its ends."""
    heights, widths = sizes.T
    longest_heights, longest_widths = np.round([widths / RATIO[0], heights * RATIO[1]]).astype(np.int64)
    return np.stack([np.minimum(heights, longest_heights), np.minimum(widths, longest_widths)], 1)
