"""Whole images, for random resized crops: upright, of any shape, shrunk to a largest short side."""

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import pyarrow as pa
from PIL import Image

from raysearch.data.image_storage import FACTS, Row, batch_of
from raysearch.data.images import decoding_pool
from raysearch.data.records import Record

DECODED_LIMIT_BYTES = 4 * 2**30
"""A split of at most so many bytes of pixels is kept decoded where the storage is `auto`."""
JPEG_QUALITY = 95
_LONGEST_SIDE = 65_500
"""What JPEG can hold."""
_BATCH = 256
"""Images written at once, so that memory holds few of them."""


class WholeImages:
    """A split's images, of varying size: memory-mapped pixels, or JPEG bytes that are decoded when asked for."""

    def __init__(self, table: pa.Table) -> None:
        self._is_jpeg = table.schema.metadata[b"storage"] == b"jpeg"
        self._sizes = np.stack([table["height"].to_numpy(), table["width"].to_numpy()], axis=1)
        self._chunks = table["image"].chunks
        self._starts = np.cumsum([0, *map(len, self._chunks)])

    def __len__(self) -> int:
        return len(self._sizes)

    def __getitem__(self, indices: np.ndarray) -> list[np.ndarray]:
        """uint8 [height, width, 3] for each index; decoded ones are views of the file, and read-only."""
        return [self._image(row) for row in np.arange(len(self))[indices]]

    def _image(self, row: int) -> np.ndarray:
        chunk = np.searchsorted(self._starts, row, "right") - 1
        stored = self._chunks[chunk][row - self._starts[chunk]].as_buffer()
        if self._is_jpeg:
            return read_jpeg(stored)
        return np.frombuffer(memoryview(stored).toreadonly(), np.uint8).reshape(*self._sizes[row], 3)


@dataclass(frozen=True)
class Whole:
    """Every image whole, with a short side of at most ``stored_side`` pixels."""

    stored_side: int
    storage: Literal["auto", "decoded", "jpeg"]

    @property
    def key(self) -> list[Any]:
        return ["whole", self.storage, self.stored_side]

    @property
    def schema(self) -> pa.Schema:
        columns = {"height": pa.int64(), "width": pa.int64(), "image": pa.large_binary()}
        return pa.schema({**FACTS, **columns}, metadata={"storage": self.storage})

    def settled(self, records: Sequence[Record]) -> Self:
        """`auto` decided from the images' headers."""
        if self.storage != "auto":
            return self
        with decoding_pool() as pool:
            size_bytes = sum(pool.map(self._size_bytes, records))
        return replace(self, storage="decoded" if size_bytes <= DECODED_LIMIT_BYTES else "jpeg")

    def keep(self, image: Image.Image, stored: bytes) -> tuple[int, int, bytes]:
        """Height, width, and the pixels or a JPEG of them: the source's own where it gives the same pixels."""
        size = self._stored_size(image.size)
        shrunk = image if size == image.size else image.resize(size, Image.Resampling.BICUBIC)
        if self.storage == "decoded":
            return shrunk.height, shrunk.width, shrunk.tobytes()
        is_kept = shrunk is image and _is_jpeg_of(stored, image)
        return shrunk.height, shrunk.width, stored if is_kept else _jpeg_of(shrunk)

    def batches(self, rows: Iterable[Row], count: int) -> Iterator[pa.RecordBatch]:
        rows = iter(rows)
        while group := list(islice(rows, _BATCH)):
            yield batch_of(
                self.schema, [row[:-1] for row in group], list(zip(*(row.kept for row in group), strict=True))
            )

    def _stored_size(self, size: tuple[int, int]) -> tuple[int, int]:
        share = min(1, self.stored_side / min(size), _LONGEST_SIDE / max(size))
        return max(1, round(size[0] * share)), max(1, round(size[1] * share))

    def _size_bytes(self, record: Record) -> int:
        """As it will be kept decoded; 0 for an image that cannot be opened, which is reported when it is decoded."""
        try:
            with Image.open(record.stored if isinstance(record.stored, Path) else io.BytesIO(record.stored)) as image:
                width, height = self._stored_size(image.size)
        except Exception:  # decoders raise many kinds for malformed bytes
            return 0
        return width * height * 3


def read_jpeg(stored: bytes | pa.Buffer) -> np.ndarray:
    """The pixels of a colour JPEG as they are stored, whatever its orientation: uint8 [height, width, 3], read-only."""
    with Image.open(io.BytesIO(stored)) as image:
        return np.asarray(image)


def _is_jpeg_of(stored: bytes, image: Image.Image) -> bool:
    """Whether `read_jpeg` gives the image's pixels: not where it is to be turned upright, or has other colours."""
    return stored.startswith(b"\xff\xd8") and np.array_equal(read_jpeg(stored), np.asarray(image))


def _jpeg_of(image: Image.Image) -> bytes:
    content = io.BytesIO()
    image.save(content, "JPEG", quality=JPEG_QUALITY)
    return content.getvalue()
