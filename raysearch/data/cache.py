"""Decoded splits as Arrow files: written once, memory-mapped by every reader; each has its CRC-32 beside it.

One row a sample: ``sample_id`` string, ``label`` int64, ``stored_sha256`` and ``pixels_sha256``
fixed_size_binary[32] (of the stored bytes; of the decoded RGB pixels before resizing), ``image``
fixed_size_list<uint8>[image_size * image_size * 3].
"""

import hashlib
import json
import logging
import zlib
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import pyarrow as pa

from raysearch.data.images import BadImage, decode, decoding_pool, square
from raysearch.data.records import Record, SplitSource
from raysearch.errors import DataError
from raysearch.io import replacing, write_text
from raysearch.paths import data_cache

_VERSION = 1
"""Counts up when `raysearch.data.images` gives other pixels or the columns change."""

log = logging.getLogger(__name__)


def read_split(source: str, split: str, listed: SplitSource, image_size: int) -> tuple[pa.Table, list[str]]:
    """The split's table, from the cache or decoded into it, and the faults of its images.

    With faults the table holds the other images, and nothing is kept.
    """
    path = cache_file(source, split, listed.identity, image_size)
    try:
        return _map(path, image_size), []
    except FileNotFoundError:
        pass
    except (OSError, pa.ArrowException, ValueError) as error:
        log.warning("%s: damaged, decoding again (%s)", path, error)
    table, faults = _decode_all(listed, image_size)
    if faults or not table.num_rows:
        return table, faults
    _write(path, table)
    return _map(path, image_size), []


def cache_file(source: str, split: str, identity: Any, image_size: int) -> Path:
    """A file name that changes with the source, its content, the size, and the way of decoding."""
    where = source if source == "digits" else str(Path(source).resolve())
    parts = [_VERSION, PIL.__version__, pa.__version__, where, split, image_size, identity]
    key = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
    return data_cache() / f"{Path(where).name[:40]}-{split}-{image_size}-{key[:20]}.arrow"


def _map(path: Path, image_size: int) -> pa.Table:
    """The table, mapped. Its checksum is looked at first: Arrow crashes on some damaged files."""
    expected = _checksum_file(path).read_text()
    mapped = pa.memory_map(str(path)).read_buffer()
    if expected != _checksum(mapped):
        raise ValueError("its checksum differs")
    table = pa.ipc.open_file(mapped).read_all()
    assert table.schema.equals(_schema(image_size)), table.schema
    return table


def _write(path: Path, table: pa.Table) -> None:
    try:
        with replacing(path) as aside, pa.ipc.new_file(str(aside), table.schema) as out:
            out.write_table(table, max_chunksize=table.num_rows)  # one batch, so that a reader can map it
        write_text(_checksum_file(path), _checksum(pa.memory_map(str(path)).read_buffer()))
    except OSError as error:
        raise DataError(
            f"{path.parent}: the cache cannot be written ({error}); set RAYSEARCH_CACHE to another folder"
        ) from error


def _checksum_file(path: Path) -> Path:
    return path.with_suffix(".crc32")


def _checksum(content: pa.Buffer) -> str:
    return f"{zlib.crc32(content):08x}"


def _schema(image_size: int) -> pa.Schema:
    return pa.schema(
        {
            "sample_id": pa.string(),
            "label": pa.int64(),
            "stored_sha256": pa.binary(32),
            "pixels_sha256": pa.binary(32),
            "image": pa.list_(pa.uint8(), image_size * image_size * 3),
        }
    )


def _decode_all(listed: SplitSource, image_size: int) -> tuple[pa.Table, list[str]]:
    records, faults = listed.load()
    images = np.empty((len(records), image_size, image_size, 3), np.uint8)
    rows: list[tuple[str, int, bytes, bytes]] = []
    with decoding_pool() as pool:
        for record, result in zip(records, pool.map(partial(_decode, image_size=image_size), records), strict=True):
            if isinstance(result, str):
                faults.append(result)
            else:
                stored, pixels, images[len(rows)] = result
                rows.append((record.sample_id, record.label, stored, pixels))
    columns = [list(column) for column in zip(*rows, strict=True)] or [[]] * 4
    flat = pa.array(images[: len(rows)].ravel())
    arrays = [*columns, pa.FixedSizeListArray.from_arrays(flat, image_size * image_size * 3)]
    schema = _schema(image_size)
    return pa.table(dict(zip(schema.names, arrays, strict=True)), schema=schema), faults


def _decode(record: Record, image_size: int) -> tuple[bytes, bytes, np.ndarray] | str:
    """SHA-256 of the stored bytes and of the pixels, and the prepared image; or a fault."""
    try:
        stored = record.stored.read_bytes() if isinstance(record.stored, Path) else record.stored
        image = decode(stored)
    except BadImage as error:
        return f"{record.where}: cannot be decoded: {error}"
    except OSError as error:
        return f"{record.where}: cannot be read: {error.strerror}"
    pixels = hashlib.sha256(b"%d %d " % image.size + image.tobytes())
    return hashlib.sha256(stored).digest(), pixels.digest(), square(image, image_size)
