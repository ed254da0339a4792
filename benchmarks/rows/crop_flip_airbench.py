"""Crop, flip and normalise 500 images of 32 x 32: ours against the batched method of the airbench speed runs.

Ours is what a training without policy calls: `augment_view` and `normalise`. The peer pads the batch as floats by
reflection, crops it in two passes with one masked copy per shift (rows, then columns), flips with `torch.where` and
normalises. It uses half or single precision, whichever is faster. The note has a second figure, in which the peer pads
and normalises beforehand. A speed run does this once for all epochs, but it is impossible with a policy between crop
and normalisation.
"""

import statistics
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.measure import Measured, median_ratio, milliseconds, paired
from benchmarks.rows.crop_flip_torchvision import BATCH, NOTE, PADDING, SIZE, our_view, some_images
from raysearch.models import normalise

NAME = "crop_flip_airbench"
BOUND = 2.0
IS_AT_MOST = False

SHIFTS = range(2 * PADDING + 1)


def pad(images: Tensor, dtype: torch.dtype) -> Tensor:
    """Pad by reflection, PADDING pixels on each side."""
    return F.pad(images.to(dtype), (PADDING,) * 4, mode="reflect")


def shift_and_flip(images: Tensor) -> Tensor:
    """Crop padded images to SIZE, each at its own shift, and flip each with probability 1/2."""
    tops, lefts = torch.randint(len(SHIFTS), (2, BATCH))
    rows_done = torch.empty(BATCH, 3, SIZE, SIZE + 2 * PADDING, dtype=images.dtype)
    cropped = torch.empty(BATCH, 3, SIZE, SIZE, dtype=images.dtype)
    for shift in SHIFTS:
        chosen = tops == shift
        rows_done[chosen] = images[chosen, :, shift : shift + SIZE]
    for shift in SHIFTS:
        chosen = lefts == shift
        cropped[chosen] = rows_done[chosen, :, :, shift : shift + SIZE]
    return torch.where(torch.rand(BATCH, 1, 1, 1) < 0.5, cropped.flip(-1), cropped)


def their_view(images: Tensor, dtype: torch.dtype) -> Tensor:
    return normalise(shift_and_flip(pad(images, dtype)))


def measure() -> Measured:
    images, generator = some_images(), torch.Generator().manual_seed(1)
    ours = partial(our_view, images, generator)
    outcomes = []
    for dtype in (torch.float32, torch.float16):
        our_seconds, their_seconds = paired(ours, partial(their_view, images, dtype), pairs=15)
        ratio = median_ratio(their_seconds, our_seconds)
        outcomes.append((statistics.median(their_seconds), ratio, our_seconds, their_seconds, dtype))
    _, ratio, our_seconds, their_seconds, dtype = min(outcomes, key=lambda outcome: outcome[0])
    prepared = F.pad(normalise(images), (PADDING,) * 4, mode="reflect")
    again, theirs_prepared = paired(ours, partial(shift_and_flip, prepared))
    note = f"{NOTE}; peer in {dtype}; padded and normalised beforehand {milliseconds(theirs_prepared)}: "
    note += f"{median_ratio(theirs_prepared, again):.2f}x"
    return Measured(ratio, milliseconds(our_seconds), milliseconds(their_seconds), note)
