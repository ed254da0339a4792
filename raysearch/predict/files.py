"""Images without labels: image files, folders, and Parquet files in the Hugging Face image layout."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from raysearch.data.images import find_images
from raysearch.errors import DataError
from raysearch.io import display_path
from raysearch.predict.decoding import Batch, Encoded, choose_batch_size, decode_batches

BUFFER_BYTES = 2**20
"""Read buffer for Parquet files. Without it, pyarrow loads all images of a row group into memory."""


@dataclass(frozen=True)
class ImageFiles:
    """Image files. An id is the path relative to the given folder, or to the common folder of all arguments."""

    ids: Sequence[str]
    paths: Sequence[Path]

    def batches(self, image_sizes: Sequence[int], faults: list[str]) -> Iterator[Batch]:
        """See `Images.batches`."""
        pairs = zip(self.ids, self.paths, strict=True)
        return decode_batches((Encoded(name, display_path(path), path) for name, path in pairs), image_sizes, faults)


@dataclass(frozen=True)
class ParquetFiles:
    """The column `image` of Parquet files.

    An id is `image.path`. If a path is missing or not unique, all ids are ``<file>/<row>`` instead.
    """

    ids: Sequence[str]
    paths: Sequence[Path]

    def batches(self, image_sizes: Sequence[int], faults: list[str]) -> Iterator[Batch]:
        """See `Images.batches`. Raises `DataError` for a damaged file."""
        return decode_batches(self._images(choose_batch_size(image_sizes)), image_sizes, faults)

    def _images(self, batch_size: int) -> Iterator[Encoded]:
        ids = iter(self.ids)
        for path in self.paths:
            where = display_path(path)
            for row, stored in enumerate(_read_images(path, batch_size)):
                name = next(ids)
                yield Encoded(name, f"{where}: row {row} ({name})", stored)


def open_files(texts: Sequence[str]) -> ImageFiles:
    """Collect files and all images below folders, each once. Raises one `DataError` that lists every fault."""
    faults: list[str] = []
    images: dict[Path, Path] = {}
    for path in map(Path, texts):
        try:
            images |= {_absolute(image): image for image in find_images(path)}
        except DataError as error:
            faults += error.faults
    if faults:
        raise DataError(faults)
    folders = [path if path.is_dir() else path.parent for path in (_absolute(Path(text)) for text in texts)]
    root = os.path.commonpath(folders)
    return ImageFiles([path.relative_to(root).as_posix() for path in images], list(images.values()))


def open_parquet(texts: Sequence[str]) -> ParquetFiles:
    """Open Parquet files.

    Raises one `DataError` that lists all files that are missing, are not Parquet, or have no valid column `image`.
    """
    paths = list(dict.fromkeys(map(Path, texts)))
    if faults := [fault for path in paths if (fault := _check_parquet(path))]:
        raise DataError(faults)
    columns = {path: pq.ParquetFile(path).read(["image.path"])["image"] for path in paths}
    names = [row and row["path"] for column in columns.values() for row in column.to_pylist()]
    if all(names) and len(set(names)) == len(names):
        return ParquetFiles(names, paths)
    return ParquetFiles([f"{path.stem}/{row}" for path in paths for row in range(len(columns[path]))], paths)


def _absolute(path: Path) -> Path:
    """Absolute path without `..`. Unlike `Path.resolve`, keeps symbolic links, so that ids use the given names."""
    return Path(os.path.normpath(path.absolute()))


def _check_parquet(path: Path) -> str | None:
    """A message if ``path`` is not a Parquet file with a column `image` of bytes and path; else None."""
    where = display_path(path)
    if not path.is_file():
        return f"{where}: no such file"
    try:
        schema = pq.read_schema(path)
    except (OSError, pa.ArrowException) as error:
        return f"{where}: not readable as Parquet: {_first_line(error)}"
    kind = schema.field("image").type if "image" in schema.names else pa.null()
    fields = {field.name: field.type for field in kind.fields} if pa.types.is_struct(kind) else {}
    if fields.get("bytes") in (pa.binary(), pa.large_binary()) and "path" in fields:
        return None
    got = kind if kind != pa.null() else f"the columns {', '.join(schema.names)}"
    return f"{where}: column 'image' must be struct<bytes: binary, path: string>, got {got}"


def _read_images(path: Path, batch_size: int) -> Iterator[bytes | None]:
    """The encoded image of each row; None for a row without one."""
    try:
        with pq.ParquetFile(path, buffer_size=BUFFER_BYTES, pre_buffer=False) as file:
            for batch in file.iter_batches(batch_size, columns=["image.bytes"]):
                for row in batch["image"]:
                    yield row["bytes"].as_py() if row.is_valid else None
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{display_path(path)}: not readable as Parquet: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
