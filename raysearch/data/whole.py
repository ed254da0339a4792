"""Whole images for random resized crops: upright, of any shape, with a limited short side."""

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import pyarrow as pa
from PIL import Image

from raysearch.data.image_storage import FACTS, Row, build_batch
from raysearch.data.images import decoding_pool
from raysearch.data.records import Record

DECODED_LIMIT_BYTES = 4 * 2**30
"""Storage `auto` keeps a split decoded if its pixels take at most this many bytes."""
JPEG_QUALITY = 95
_LONGEST_SIDE = 65_500
"""In pixels; the limit of libjpeg is 65,500."""
_BATCH = 256
"""Images per record batch, which bounds the memory for writing."""


class WholeImages:
    """Images of varying size: memory-mapped pixels, or JPEG bytes that are decoded on access."""

    def __init__(self, table: pa.Table) -> None:
        self._is_jpeg = table.schema.metadata[b"storage"] == b"jpeg"
        self._sizes = np.stack([table["height"].to_numpy(), table["width"].to_numpy()], axis=1)
        self._chunks = table["image"].chunks
        self._starts = np.cumsum([0, *map(len, self._chunks)])

    def __len__(self) -> int:
        return len(self._sizes)

    def __getitem__(self, indices: np.ndarray) -> list[np.ndarray]:
        """uint8 [height, width, 3] for each index, read-only. Images stored decoded are views of the mapped file."""
        return [self._image(row) for row in np.arange(len(self))[indices]]

    def _image(self, row: int) -> np.ndarray:
        chunk = np.searchsorted(self._starts, row, "right") - 1
        stored = self._chunks[chunk][row - self._starts[chunk]].as_buffer()
        if self._is_jpeg:
            return read_jpeg(stored)
        return np.frombuffer(memoryview(stored).toreadonly(), np.uint8).reshape(*self._sizes[row], 3)


@dataclass(frozen=True)
class Whole:
    """Stores whole images with a short side of at most ``stored_side`` pixels."""

    stored_side: int
    storage: Literal["auto", "decoded", "jpeg"]

    @property
    def key(self) -> list[Any]:
        return ["whole", self.storage, self.stored_side]

    @property
    def schema(self) -> pa.Schema:
        columns = {"height": pa.int64(), "width": pa.int64(), "image": pa.large_binary()}
        return pa.schema({**FACTS, **columns}, metadata={"storage": self.storage})

    def resolve(self, records: Sequence[Record]) -> Self:
        """Replace `auto` by `decoded` or `jpeg`, from the sizes in the image headers."""
        if self.storage != "auto":
            return self
        with decoding_pool() as pool:
            size_bytes = sum(pool.map(self._size_bytes, records))
        return replace(self, storage="decoded" if size_bytes <= DECODED_LIMIT_BYTES else "jpeg")

    def keep(self, image: Image.Image, stored: bytes) -> tuple[int, int, bytes]:
        """Height, width, and the pixels or a JPEG. The source's own JPEG is kept if it decodes to the same pixels."""
        size = self._stored_size(image.size)
        shrunk = image if size == image.size else image.resize(size, Image.Resampling.BICUBIC)
        if self.storage == "decoded":
            return shrunk.height, shrunk.width, shrunk.tobytes()
        is_kept = shrunk is image and _is_same_as_jpeg(stored, image)
        return shrunk.height, shrunk.width, stored if is_kept else _encode_jpeg(shrunk)

    def batches(self, rows: Iterable[Row], count: int) -> Iterator[pa.RecordBatch]:
        rows = iter(rows)
        while group := list(islice(rows, _BATCH)):
            yield build_batch(
                self.schema, [row[:-1] for row in group], list(zip(*(row.kept for row in group), strict=True))
            )

    def _stored_size(self, size: tuple[int, int]) -> tuple[int, int]:
        share = min(1, self.stored_side / min(size), _LONGEST_SIDE / max(size))
        return max(1, round(size[0] * share)), max(1, round(size[1] * share))

    def _size_bytes(self, record: Record) -> int:
        """Bytes of the stored pixels; 0 for an image that cannot be opened. Decoding reports that image later."""
        try:
            with Image.open(record.stored if isinstance(record.stored, Path) else io.BytesIO(record.stored)) as image:
                width, height = self._stored_size(image.size)
        except Exception:  # Pillow's decoders raise many types for malformed bytes
            return 0
        return width * height * 3


def read_jpeg(stored: bytes | pa.Buffer) -> np.ndarray:
    """The pixels of a colour JPEG, ignoring its EXIF orientation: uint8 [height, width, 3], read-only."""
    with Image.open(io.BytesIO(stored)) as image:
        return np.asarray(image)


def _is_same_as_jpeg(stored: bytes, image: Image.Image) -> bool:
    """Whether `read_jpeg` returns the image's pixels. False if it must be turned upright or is not RGB."""
    return stored.startswith(b"\xff\xd8") and np.array_equal(read_jpeg(stored), np.asarray(image))


def _encode_jpeg(image: Image.Image) -> bytes:
    content = io.BytesIO()
    image.save(content, "JPEG", quality=JPEG_QUALITY)
    return content.getvalue()
