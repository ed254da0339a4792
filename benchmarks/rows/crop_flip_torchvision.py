"""Crop, flip and normalise 500 images of 32 x 32: ours in one batch against torchvision's transforms image by image.

Ours is what a training without policy calls: `augment_view` and `normalise`. The peer applies
`RandomCrop(32, padding=4, padding_mode="reflect")`, `RandomHorizontalFlip`, `ToDtype` and `Normalize` of torchvision v2
to each uint8 tensor and stacks the results.
"""

import torch
from torch import Tensor
from torchvision.transforms import v2

from benchmarks.measure import Measured, speedup
from raysearch.augment import augment_view
from raysearch.config import IMAGE_MEAN, IMAGE_STD, AugmentConfig
from raysearch.models import normalise

NAME = "crop_flip_torchvision"
BOUND = 10.0
IS_AT_MOST = False

BATCH, SIZE, PADDING = 500, 32, 4
NOTE = f"batch of {BATCH}, one thread"


def some_images() -> Tensor:
    """uint8 [BATCH, 3, SIZE, SIZE]."""
    return torch.randint(0, 256, (BATCH, 3, SIZE, SIZE), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def our_view(images: Tensor, generator: torch.Generator) -> Tensor:
    """The input pipeline of a training for ``images``, without erasing and mixing."""
    config = AugmentConfig(crop="pad", crop_padding=PADDING, policy="none")
    return normalise(augment_view(images, config, SIZE, generator))


def measure() -> Measured:
    images, generator = some_images(), torch.Generator().manual_seed(1)
    transform = v2.Compose(
        [
            v2.RandomCrop(SIZE, padding=PADDING, padding_mode="reflect"),
            v2.RandomHorizontalFlip(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(IMAGE_MEAN, IMAGE_STD),
        ]
    )
    return speedup(
        lambda: our_view(images, generator),
        lambda: torch.stack([transform(image) for image in images]),
        pairs=20,
        note=NOTE,
    )
