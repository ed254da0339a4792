"""What the cache keeps of a split's images: `Squares` here, whole images in `raysearch.data.whole`."""

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
"""The columns of every storage: whose image it is, SHA-256 of the stored bytes and of the decoded RGB pixels."""


class Row(NamedTuple):
    """A decoded sample: `FACTS`, and what its form keeps of the image."""

    sample_id: str
    label: int
    stored_sha256: bytes
    pixels_sha256: bytes
    kept: Any


class ImageStorage(Protocol):
    """How images are kept. `keep` runs in many threads at once."""

    @property
    def key(self) -> list[Any]:
        """Plain values that differ between forms which keep other things."""

    @property
    def schema(self) -> pa.Schema:
        """`FACTS`, then the form's own columns."""

    def settled(self, records: Sequence[Record]) -> Self:
        """The form for just these records, where it depends on how large they are."""

    def keep(self, image: Image.Image, stored: bytes) -> Any:
        """What is kept of an upright RGB image, of which ``stored`` is the encoded storage."""

    def batches(self, rows: Iterable[Row], count: int) -> Iterator[pa.RecordBatch]:
        """``rows``, at most ``count``, as the file's batches."""


@dataclass(frozen=True)
class Squares:
    """The centre square at one size, as `raysearch.data.prepare_image` makes it: one array for the whole split."""

    image_size: int

    @property
    def key(self) -> list[Any]:
        return [self.image_size]

    @property
    def schema(self) -> pa.Schema:
        return pa.schema({**FACTS, "image": pa.list_(pa.uint8(), self.image_size**2 * 3)})

    def settled(self, records: Sequence[Record]) -> Self:
        return self

    def keep(self, image: Image.Image, stored: bytes) -> np.ndarray:
        return square(image, self.image_size)

    def batches(self, rows: Iterable[Row], count: int) -> Iterator[pa.RecordBatch]:
        """A single batch, so that a reader can map it as one array."""
        images = np.empty((count, self.image_size, self.image_size, 3), np.uint8)
        facts: list[Sequence[Any]] = []
        for row in rows:
            images[len(facts)] = row.kept
            facts.append(row[:-1])
        flat = pa.array(images[: len(facts)].ravel())
        yield batch_of(self.schema, facts, [pa.FixedSizeListArray.from_arrays(flat, self.image_size**2 * 3)])


def batch_of(schema: pa.Schema, facts: Sequence[Sequence[Any]], columns: Sequence[Any]) -> pa.RecordBatch:
    """A batch of `FACTS`, given by row, and the form's own ``columns``."""
    by_name = [list(column) for column in zip(*facts, strict=True)] or [[] for _ in FACTS]
    arrays = [
        column if isinstance(column, pa.Array) else pa.array(column, field.type)
        for column, field in zip([*by_name, *columns], schema, strict=True)
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
