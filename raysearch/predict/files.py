"""Images without labels: files and folders of files, and Parquet files in the Hugging Face image layout."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from raysearch.data.images import find_images
from raysearch.errors import DataError
from raysearch.io import display_path
from raysearch.predict.decoding import Batch, Encoded, batch_size_of, decoded

BUFFER_BYTES = 2**20
"""Read at once of a Parquet file, which would else have all images of a row group in memory."""


@dataclass(frozen=True)
class ImageFiles:
    """Image files; an id is the path below the folder given, or below the one that all given lie in."""

    ids: Sequence[str]
    paths: Sequence[Path]

    def batches(self, image_sizes: Sequence[int], faults: list[str]) -> Iterator[Batch]:
        """As `raysearch.predict.decoding.decoded` hands them out."""
        pairs = zip(self.ids, self.paths, strict=True)
        return decoded((Encoded(name, display_path(path), path) for name, path in pairs), image_sizes, faults)


@dataclass(frozen=True)
class ParquetFiles:
    """The column `image` of Parquet files; an id is `image.path`, or ``<file>/<row>`` for all rows where those paths
    are missing or not unique."""

    ids: Sequence[str]
    paths: Sequence[Path]

    def batches(self, image_sizes: Sequence[int], faults: list[str]) -> Iterator[Batch]:
        """As `raysearch.predict.decoding.decoded` hands them out. Raises `DataError` for a damaged file."""
        return decoded(self._images(batch_size_of(image_sizes)), image_sizes, faults)

    def _images(self, batch_size: int) -> Iterator[Encoded]:
        ids = iter(self.ids)
        for path in self.paths:
            where = display_path(path)
            for row, stored in enumerate(_stored(path, batch_size)):
                name = next(ids)
                yield Encoded(name, f"{where}: row {row} ({name})", stored)


def open_files(texts: Sequence[str]) -> ImageFiles:
    """Files and every image below folders, each once. Raises one `DataError` for all that is wrong with them."""
    faults: list[str] = []
    found: dict[Path, Path] = {}
    for path in map(Path, texts):
        try:
            found |= {_absolute(image): image for image in find_images(path)}
        except DataError as error:
            faults += error.faults
    if faults:
        raise DataError(faults)
    folders = [path if path.is_dir() else path.parent for path in (_absolute(Path(text)) for text in texts)]
    root = os.path.commonpath(folders)
    return ImageFiles([path.relative_to(root).as_posix() for path in found], list(found.values()))


def open_parquet(texts: Sequence[str]) -> ParquetFiles:
    """Raises one `DataError` for all files that are missing, not Parquet, or without a column `image` as above."""
    paths = list(dict.fromkeys(map(Path, texts)))
    if faults := [fault for path in paths if (fault := _fault_of(path))]:
        raise DataError(faults)
    columns = {path: pq.ParquetFile(path).read(["image.path"])["image"] for path in paths}
    given = [row and row["path"] for column in columns.values() for row in column.to_pylist()]
    if all(given) and len(set(given)) == len(given):
        return ParquetFiles(given, paths)
    return ParquetFiles([f"{path.stem}/{row}" for path in paths for row in range(len(columns[path]))], paths)


def _absolute(path: Path) -> Path:
    """Without `..`, and with links as they are called."""
    return Path(os.path.normpath(path.absolute()))


def _fault_of(path: Path) -> str | None:
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


def _stored(path: Path, batch_size: int) -> Iterator[bytes | None]:
    """The encoded image of each row."""
    try:
        with pq.ParquetFile(path, buffer_size=BUFFER_BYTES, pre_buffer=False) as file:
            for batch in file.iter_batches(batch_size, columns=["image.bytes"]):
                for row in batch["image"]:
                    yield row["bytes"].as_py() if row.is_valid else None
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{display_path(path)}: not readable as Parquet: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
