"""Decoded splits as Arrow files, written once and memory-mapped by every reader, each with a CRC-32 file.

One row per sample: the columns of `raysearch.data.image_storage.FACTS` and those of the `ImageStorage`.
"""

import hashlib
import json
import logging
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import PIL
import pyarrow as pa
from PIL import Image

from raysearch.data.image_storage import FACTS, ImageStorage, Row
from raysearch.data.images import BadImage, decode, decoding_pool
from raysearch.data.records import Record, SplitSource
from raysearch.errors import DataError
from raysearch.io import replacing, write_text
from raysearch.paths import data_cache

_VERSION = 1
"""Increase it when `raysearch.data.images` produces different pixels or the columns change."""

MOST_COPIED_BYTES = 2**31
"""Largest tables from which rows are copied. Arrow copies them in memory."""

log = logging.getLogger(__name__)


class _NotKept(Exception):
    """Raised to discard a cache file, because of faults or because the split has no images."""


def read_split(source: str, split: str, listed: SplitSource, storage: ImageStorage) -> tuple[pa.Table, list[str]]:
    """The split's table and the faults of its images. Reads the cache, or decodes the images into it.

    If there are faults, the table has the `FACTS` of the other images only, and the cache keeps nothing.
    Raises `DataError` if the cache cannot be written.
    """
    path = cache_file(source, split, listed.identity, storage.key)
    try:
        return _map(path, storage.schema), []
    except FileNotFoundError:
        pass
    except (OSError, pa.ArrowException, ValueError) as error:
        log.warning("%s: damaged, decoding again (%s)", path, error)
    try:
        facts, faults = _choose(source, path, listed, storage) if listed.parts else _decode_all(path, listed, storage)
    except OSError as error:
        raise DataError(
            f"{path.parent}: the cache cannot be written ({error}); set RAYSEARCH_CACHE to another folder"
        ) from error
    return (facts, faults) if faults or not facts.num_rows else (_map(path, storage.schema), [])


def _decode_all(path: Path, listed: SplitSource, storage: ImageStorage) -> tuple[pa.Table, list[str]]:
    """Decode a split into the file ``path``. Returns the `FACTS` of its images, and the faults."""
    records, faults = listed.load()
    return _write(path, storage.resolve(records), records, faults), faults


def _choose(source: str, path: Path, listed: SplitSource, storage: ImageStorage) -> tuple[pa.Table, list[str]]:
    """Copy the rows of a split that is divided from others into the file ``path``: no image is decoded twice.

    Decodes the split if it is larger than `MOST_COPIED_BYTES`, or if its parts are stored in different ways.
    """
    records, faults = listed.load()
    tables = []
    rows: dict[str, int] = {}
    for name, part in listed.parts.items():
        table, wrong = read_split(source, name, part, storage)
        faults += wrong
        rows |= {record.where: len(rows) + row for row, record in enumerate(part.load()[0])} if not wrong else {}
        tables.append(table)
    if faults or not records:
        return pa.Table.from_batches([], pa.schema(FACTS)), list(dict.fromkeys(faults))
    is_alike = all(table.schema.metadata == tables[0].schema.metadata for table in tables)
    if not is_alike or sum(table.nbytes for table in tables) > MOST_COPIED_BYTES:
        return _decode_all(path, listed, storage)
    chosen = pa.concat_tables(tables).take([rows[record.where] for record in records])
    ids = pa.array([record.sample_id for record in records])  # of two files with equal ids, they have a prefix
    chosen = chosen.set_column(0, "sample_id", ids).replace_schema_metadata(tables[0].schema.metadata)
    with replacing(path) as aside, pa.ipc.new_file(str(aside), chosen.schema) as out:
        for batch in chosen.combine_chunks().to_batches():
            out.write_batch(batch)
    write_text(_checksum_file(path), _checksum(pa.memory_map(str(path)).read_buffer()))
    return chosen.select(list(FACTS)), []


def cache_file(source: str, split: str, identity: Any, storage_key: Sequence[Any]) -> Path:
    """A file name that changes with the source, its content, its storage and the decoder versions."""
    where = source if source == "digits" else str(Path(source).resolve())
    parts = [_VERSION, PIL.__version__, pa.__version__, where, split, *storage_key, identity]
    key = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
    storage = "-".join(map(str, storage_key))
    return data_cache() / f"{Path(where).name[:40]}-{split}-{storage}-{key[:20]}.arrow"


def _map(path: Path, schema: pa.Schema) -> pa.Table:
    """The memory-mapped table. Raises `ValueError` if the checksum differs."""
    # The checksum comes first: Arrow crashes on some damaged files.
    expected = _checksum_file(path).read_text()
    mapped = pa.memory_map(str(path)).read_buffer()
    if expected != _checksum(mapped):
        raise ValueError("the checksum differs")
    table = pa.ipc.open_file(mapped).read_all()
    assert table.schema.equals(schema), table.schema
    return table


def _write(path: Path, storage: ImageStorage, records: Sequence[Record], faults: list[str]) -> pa.Table:
    """Decode into the file, batch by batch, and append faults to ``faults``. Returns the `FACTS` of the images."""
    batches = []
    try:
        with replacing(path) as aside, pa.ipc.new_file(str(aside), storage.schema) as out:
            for batch in storage.batches(_decoded(records, storage, faults), len(records)):
                batches.append(batch.select(list(FACTS)))
                if not faults:
                    out.write_batch(batch)
            if faults or not any(batch.num_rows for batch in batches):
                raise _NotKept
        write_text(_checksum_file(path), _checksum(pa.memory_map(str(path)).read_buffer()))
    except _NotKept:
        pass
    return pa.Table.from_batches(batches, pa.schema(FACTS))


def _checksum_file(path: Path) -> Path:
    return path.with_suffix(".crc32")


def _checksum(content: pa.Buffer) -> str:
    return f"{zlib.crc32(content):08x}"


def _decoded(records: Sequence[Record], storage: ImageStorage, faults: list[str]) -> Iterator[Row]:
    with decoding_pool() as pool:
        for record, result in zip(records, pool.map(partial(_decode, keep=storage.keep), records), strict=True):
            if isinstance(result, str):
                faults.append(result)
            else:
                yield Row(record.sample_id, record.label, *result)


def _decode(record: Record, keep: Callable[[Image.Image, bytes], Any]) -> tuple[bytes, bytes, Any] | str:
    """SHA-256 of the stored bytes, SHA-256 of the pixels, and the result of ``keep``; or a fault."""
    try:
        stored = record.read()
        image = decode(stored)
    except BadImage as error:
        return f"{record.where}: cannot be decoded: {error}"
    except OSError as error:
        return f"{record.where}: cannot be read: {error.strerror}"
    pixels = hashlib.sha256(b"%d %d " % image.size + image.tobytes())
    return hashlib.sha256(stored).digest(), pixels.digest(), keep(image, stored)
