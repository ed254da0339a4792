"""Decodes images into arrays at every size that a set needs. Each image is read and decoded once."""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
from PIL import Image

from raysearch.data.images import BadImage, convert_image, decode, decoding_pool, square

LARGEST_BATCH = 100
"""Maximum number of images per batch; `raysearch.models.infer` takes as many at once"""
BATCH_BYTES = 128 * 2**20
"""Maximum size of a batch's pixels, at all image sizes together"""

Batch: TypeAlias = tuple[list[str], dict[int, np.ndarray]]
"""Sample ids, and the images by size: uint8 [batch, size, size, 3]."""


class Encoded(NamedTuple):
    """An image that is not yet decoded."""

    sample_id: str
    where: str
    """Name of the image in messages"""
    stored: bytes | Path | Image.Image | None
    """The encoded image, or the file that holds it; None: it is not there"""


def choose_batch_size(image_sizes: Sequence[int]) -> int:
    """Number of images per batch, which limits the memory for pixels to `BATCH_BYTES`, but at least one."""
    return max(1, min(LARGEST_BATCH, BATCH_BYTES // sum(3 * size**2 for size in image_sizes)))


def decode_batches(images: Iterable[Encoded], image_sizes: Sequence[int], faults: list[str]) -> Iterator[Batch]:
    """Decode ``images`` in batches, in order. Leaves out unreadable images and adds a line to ``faults`` for each."""
    images = iter(images)
    batch_size = choose_batch_size(image_sizes)
    while group := list(islice(images, batch_size)):
        with decoding_pool() as pool:
            results = list(pool.map(partial(_prepare, image_sizes=image_sizes), group))
        faults += [result for result in results if isinstance(result, str)]
        good = [(image.sample_id, r) for image, r in zip(group, results, strict=True) if not isinstance(r, str)]
        if good:
            ids, squares = zip(*good, strict=True)
            yield list(ids), dict(zip(image_sizes, map(np.stack, zip(*squares, strict=True)), strict=True))


def _prepare(image: Encoded, image_sizes: Sequence[int]) -> list[np.ndarray] | str:
    """The image at each size, or a message if it cannot be read."""
    if image.stored is None:
        return f"{image.where}: no bytes; the file must contain the image itself"
    try:
        if isinstance(image.stored, Image.Image):
            whole = convert_image(image.stored)
        else:
            whole = decode(image.stored if isinstance(image.stored, bytes) else image.stored.read_bytes())
    except BadImage as error:
        return f"{image.where}: cannot be decoded: {error}"
    except OSError as error:
        return f"{image.where}: cannot be read: {error.strerror}"
    return [square(whole, size) for size in image_sizes]
