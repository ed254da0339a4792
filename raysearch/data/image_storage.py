"""How the cache stores images: centre squares here, whole images in `raysearch.data.whole`."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, Self

import numpy as np
import pyarrow as pa
from PIL import Image

from raysearch.data.images import square
from raysearch.data.records import Record

FACTS: dict[str, pa.DataType] = {
    "sample_id": pa.string(),
    "label": pa.int64(),
    "stored_sha256": pa.binary(32),
    "pixels_sha256": pa.binary(32),
}
"""The columns of every storage: id and label, SHA-256 of the encoded bytes and of the decoded RGB pixels."""


class Row(NamedTuple):
    """A decoded sample: its `FACTS`, and the result of `ImageStorage.keep`."""

    sample_id: str
    label: int
    stored_sha256: bytes
    pixels_sha256: bytes
    kept: Any


class ImageStorage(Protocol):
    """How the cache stores images. `keep` must be thread-safe."""

    @property
    def key(self) -> list[Any]:
        """JSON values that identify the storage; part of the cache key."""

    @property
    def schema(self) -> pa.Schema:
        """`FACTS`, then the columns of this storage."""

    def resolve(self, records: Sequence[Record]) -> Self:
        """The storage for these records, for a storage that depends on their sizes."""

    def keep(self, image: Image.Image, stored: bytes) -> Any:
        """What to store of an upright RGB image; ``stored`` has its encoded bytes."""

    def batches(self, rows: Iterable[Row], count: int) -> Iterator[pa.RecordBatch]:
        """The record batches of ``rows``; ``count`` is an upper bound of their number."""


@dataclass(frozen=True)
class Squares:
    """The centre square at one size (`raysearch.data.images.square`), in one array for the whole split."""

    image_size: int

    @property
    def key(self) -> list[Any]:
        return [self.image_size]

    @property
    def schema(self) -> pa.Schema:
        return pa.schema({**FACTS, "image": pa.list_(pa.uint8(), self.image_size**2 * 3)})

    def resolve(self, records: Sequence[Record]) -> Self:
        return self

    def keep(self, image: Image.Image, stored: bytes) -> np.ndarray:
        return square(image, self.image_size)

    def batches(self, rows: Iterable[Row], count: int) -> Iterator[pa.RecordBatch]:
        """A single batch, so that a reader can map all images as one array."""
        images = np.empty((count, self.image_size, self.image_size, 3), np.uint8)
        facts: list[Sequence[Any]] = []
        for row in rows:
            images[len(facts)] = row.kept
            facts.append(row[:-1])
        flat = pa.array(images[: len(facts)].ravel())
        yield build_batch(self.schema, facts, [pa.FixedSizeListArray.from_arrays(flat, self.image_size**2 * 3)])


def build_batch(schema: pa.Schema, facts: Sequence[Sequence[Any]], columns: Sequence[Any]) -> pa.RecordBatch:
    """A record batch from the `FACTS` of each row and the ``columns`` of the storage."""
    by_name = [list(column) for column in zip(*facts, strict=True)] or [[] for _ in FACTS]
    arrays = [
        column if isinstance(column, pa.Array) else pa.array(column, field.type)
        for column, field in zip([*by_name, *columns], schema, strict=True)
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
