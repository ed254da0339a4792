"""A file of predictions, written as they are made: it takes its name when the last is in, and a part is kept."""

import logging
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from raysearch.errors import UserError
from raysearch.io import display_path, require_local

log = logging.getLogger(__name__)


class TableWriter(Protocol):
    """What `pyarrow` has for each format."""

    def write(self, table: pa.Table) -> None: ...

    def close(self) -> None: ...


WRITERS: dict[str, Callable[..., TableWriter]] = {
    ".csv": pyarrow.csv.CSVWriter,
    ".parquet": pyarrow.parquet.ParquetWriter,
}
"""By the file's ending; called with the path and ``schema``."""


class TableFile:
    """An open file of predictions; every way that the disk refuses is a `UserError`."""

    def __init__(self, out: Path, aside: Path, open_writer: Callable[[Path], TableWriter]) -> None:
        self._out = out
        self._aside = aside
        self.rows = 0
        self.size_bytes = 0
        """Of the file when those rows were in it"""
        self.is_refused = False
        with self._refusing():
            self._writer = open_writer(aside)

    def write(self, table: pa.Table) -> None:
        with self._refusing():
            self._writer.write(table)
            self.size_bytes = self._aside.stat().st_size
        self.rows += table.num_rows

    def close(self) -> None:
        with self._refusing():
            self._writer.close()

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.is_refused = True
            raise UserError(
                f"--out {display_path(self._out)}: cannot be written ({error.strerror or error})"
            ) from error


def check_out(out: Path, *, overwrite: bool, endings: tuple[str, ...] = tuple(WRITERS)) -> None:
    """Refuse a file that cannot be written, or that is in the way, before anything is computed for it."""
    require_local("--out", out)
    where = f"--out {display_path(out)}"
    if out.suffix not in endings:
        raise UserError(f"{where}: must end in {' or '.join(endings)}, got {out.suffix or 'no ending'!r}")
    if out.is_dir():
        raise UserError(f"{where}: is a folder; give a file")
    if out.exists() and not overwrite:
        raise UserError(f"{where}: exists already; give another name, or --overwrite to replace it")
    probe = _aside(out)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UserError(f"{where}: cannot be written ({error.strerror})") from error


@contextmanager
def table_file(out: Path, open_writer: Callable[[Path], TableWriter]) -> Iterator[TableFile]:
    """A file aside that becomes ``out`` when the block ends.

    If the block breaks off, the rows so far become ``<out>.partial.<ending>``, and a warning says so.
    """
    aside = _aside(out)
    try:
        file = TableFile(out, aside, open_writer)
        try:
            yield file
        except BaseException:
            _keep_part(file, aside, out)
            raise
        file.close()
        aside.replace(out)
    finally:
        aside.unlink(missing_ok=True)


def _keep_part(file: TableFile, aside: Path, out: Path) -> None:
    """Where the disk has refused, whole rows of CSV; a Parquet file without its end cannot be read."""
    with suppress(UserError):
        file.close()
    if not file.rows or (file.is_refused and out.suffix != ".csv"):
        return
    if file.is_refused:
        os.truncate(aside, file.size_bytes)
    part = out.with_suffix(f".partial{out.suffix}")
    aside.replace(part)
    log.warning("%s: the %d predictions made so far", display_path(part), file.rows)


def _aside(out: Path) -> Path:
    return out.with_name(f".{out.name}.{uuid.uuid4().hex[:8]}.part")
