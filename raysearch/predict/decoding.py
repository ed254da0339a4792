"""Encoded images from anywhere to arrays at every size that a set needs: each image is read and decoded once."""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
from PIL import Image

from raysearch.data.images import BadImage, decode, decoding_pool, square, to_rgb

LARGEST_BATCH = 100
"""Images, as many as `raysearch.models.infer` takes at once"""
BATCH_BYTES = 128 * 2**20
"""Of pixels that a batch holds, at all sizes together"""

Batch: TypeAlias = tuple[list[str], dict[int, np.ndarray]]
"""Sample ids, and by image size uint8 [batch, size, size, 3]."""


class Encoded(NamedTuple):
    """An image that is not yet decoded."""

    sample_id: str
    where: str
    """What messages call it"""
    stored: bytes | Path | Image.Image | None
    """The encoded image, or the file that holds it; None: it is not there"""


def batch_size_of(image_sizes: Sequence[int]) -> int:
    """Images that are held at once, so that memory does not grow with their number, and little with their size."""
    return max(1, min(LARGEST_BATCH, BATCH_BYTES // sum(3 * size**2 for size in image_sizes)))


def decoded(images: Iterable[Encoded], image_sizes: Sequence[int], faults: list[str]) -> Iterator[Batch]:
    """``images`` in batches and in order; those that cannot be read are left out, each with a line in ``faults``."""
    images = iter(images)
    batch_size = batch_size_of(image_sizes)
    while group := list(islice(images, batch_size)):
        with decoding_pool() as pool:
            results = list(pool.map(partial(_squares, image_sizes=image_sizes), group))
        faults += [result for result in results if isinstance(result, str)]
        good = [(image.sample_id, r) for image, r in zip(group, results, strict=True) if not isinstance(r, str)]
        if good:
            ids, squares = zip(*good, strict=True)
            yield list(ids), dict(zip(image_sizes, map(np.stack, zip(*squares, strict=True)), strict=True))


def _squares(image: Encoded, image_sizes: Sequence[int]) -> list[np.ndarray] | str:
    """The image at each size, or a fault."""
    if image.stored is None:
        return f"{image.where}: no bytes; the image itself must be in the file"
    try:
        if isinstance(image.stored, Image.Image):
            return [square(to_rgb(image.stored), size) for size in image_sizes]
        stored = image.stored if isinstance(image.stored, bytes) else image.stored.read_bytes()
        whole = decode(stored)
    except BadImage as error:
        return f"{image.where}: cannot be decoded: {error}"
    except OSError as error:
        return f"{image.where}: cannot be read: {error.strerror}"
    return [square(whole, size) for size in image_sizes]
