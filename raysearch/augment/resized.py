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

from raysearch.augment.boxes import Boxes

RATIO = (3 / 4, 4 / 3)
"""Narrowest and widest box, width / height."""
TRIES = 10
"""Boxes drawn until one fits; else it is the largest in the middle whose shape is in `RATIO`."""


@dataclass(frozen=True)
class ResizedCrops:
    """Each image's own box, in its own pixels, and whether the crop is then flipped: bool [batch]."""

    boxes: Boxes
    is_flipped: Tensor

    def images(self, images: Sequence[np.ndarray], image_size: int) -> Tensor:
        """uint8 arrays [height, width, 3] in, uint8 [batch, 3, image_size, image_size] out, channels last in memory."""
        shape = (len(images), 3, image_size, image_size)
        crops = torch.empty(shape, dtype=torch.uint8, memory_format=torch.channels_last)
        columns = (self.boxes.tops, self.boxes.bottoms, self.boxes.lefts, self.boxes.rights, self.is_flipped)
        drawn = zip(*(column.tolist() for column in columns), strict=True)
        for into, image, (top, bottom, left, right, is_flipped) in zip(crops, images, drawn, strict=True):
            crop = torch.from_numpy(image[top:bottom, left:right].copy())[None].permute(0, 3, 1, 2)
            resized = F.interpolate(crop, size=shape[2:], mode="bilinear", antialias=True)[0]
            into.copy_(resized.flip(-1) if is_flipped else resized)
        return crops


def random_resized_crops(
    images: Sequence[np.ndarray], image_size: int, smallest: float, generator: Generator, hflip: float = 0.0
) -> Tensor:
    """A box of at least ``smallest`` of each image's area, resized, and flipped left to right with probability
    ``hflip``: uint8 [batch, 3, image_size, image_size] from uint8 arrays [height, width, 3]."""
    sizes = torch.tensor([image.shape[:2] for image in images])
    return draw_resized_crops(sizes, smallest, hflip, generator).images(images, image_size)


def draw_resized_crops(sizes: Tensor, smallest: float, hflip: float, generator: Generator) -> ResizedCrops:
    """Boxes in images of ``sizes``, int64 [batch, 2] (height, width): of a uniform share of the area, from
    ``smallest`` to 1, of a log-uniform shape in `RATIO`, anywhere in the image."""
    batch = len(sizes)
    shares, shapes = torch.rand(2, batch, TRIES, generator=generator, dtype=torch.float64)
    areas = sizes.prod(1, keepdim=True) * (smallest + (1 - smallest) * shares)
    ratios = RATIO[0] * (RATIO[1] / RATIO[0]) ** shapes
    tries = torch.stack([(areas / ratios).sqrt(), (areas * ratios).sqrt()], 2).round().long()
    fits = ((tries >= 1) & (tries <= sizes[:, None])).all(2)
    is_middle = ~fits.any(1, keepdim=True)
    boxes = torch.where(is_middle, _largest(sizes), tries[torch.arange(batch), fits.int().argmax(1)])
    spare = sizes - boxes
    places = torch.rand(batch, 2, generator=generator, dtype=torch.float64)
    tops, lefts = torch.where(is_middle, spare // 2, (places * (spare + 1)).long()).T
    heights, widths = boxes.T
    is_flipped = torch.rand(batch, generator=generator) < hflip
    return ResizedCrops(Boxes(tops, tops + heights, lefts, lefts + widths), is_flipped)


def _largest(sizes: Tensor) -> Tensor:
    """The largest boxes of a shape in `RATIO`: an image that is too wide or too high loses its ends."""
    heights, widths = sizes.T
    longest_heights, longest_widths = (widths / RATIO[0]).round().long(), (heights * RATIO[1]).round().long()
    return torch.stack([heights.minimum(longest_heights), widths.minimum(longest_widths)], 1)
