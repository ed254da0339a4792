"""Writes predictions batch by batch to a temporary file, which is renamed at the end or kept as a partial file."""

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
    """Interface of the writers in `pyarrow`."""

    def write(self, table: pa.Table) -> None: ...

    def close(self) -> None: ...


WRITERS: dict[str, Callable[..., TableWriter]] = {
    ".csv": pyarrow.csv.CSVWriter,
    ".parquet": pyarrow.parquet.ParquetWriter,
}
"""Writer classes by file ending. Arguments: the path and ``schema``."""


class TableFile:
    """An open file of predictions. Turns every `OSError` into a `UserError`."""

    def __init__(self, out: Path, temporary: Path, open_writer: Callable[[Path], TableWriter]) -> None:
        self._out = out
        self._temporary = temporary
        self.rows = 0
        self.size_bytes = 0
        """Size of the file after the last complete write of ``rows`` rows"""
        self.has_failed = False
        with self._translate_errors():
            self._writer = open_writer(temporary)

    def write(self, table: pa.Table) -> None:
        with self._translate_errors():
            self._writer.write(table)
            self.size_bytes = self._temporary.stat().st_size
        self.rows += table.num_rows

    def close(self) -> None:
        with self._translate_errors():
            self._writer.close()

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.has_failed = True
            raise UserError(
                f"--out {display_path(self._out)}: cannot be written ({error.strerror or error})"
            ) from error


def check_out(out: Path, *, overwrite: bool, endings: tuple[str, ...] = tuple(WRITERS)) -> None:
    """Check before any computation that ``out`` can be written. Raises `UserError` if not, or if it exists."""
    require_local("--out", out)
    where = f"--out {display_path(out)}"
    if out.suffix not in endings:
        raise UserError(f"{where}: must end in {' or '.join(endings)}, got {out.suffix or 'no ending'!r}")
    if out.is_dir():
        raise UserError(f"{where}: is a folder; give a file")
    if out.exists() and not overwrite:
        raise UserError(f"{where}: already exists; choose another name, or replace it with --overwrite")
    probe = _temporary_path(out)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UserError(f"{where}: cannot be written ({error.strerror})") from error


@contextmanager
def open_table_file(out: Path, open_writer: Callable[[Path], TableWriter]) -> Iterator[TableFile]:
    """Open a temporary file that is renamed to ``out`` when the block ends.

    If the block raises, the finished rows are kept in ``<out>.partial.<ending>``, and a warning names that file.
    """
    temporary = _temporary_path(out)
    try:
        file = TableFile(out, temporary, open_writer)
        try:
            yield file
        except BaseException:
            _keep_partial(file, temporary, out)
            raise
        file.close()
        temporary.replace(out)
    finally:
        temporary.unlink(missing_ok=True)


def _keep_partial(file: TableFile, temporary: Path, out: Path) -> None:
    """Keep the finished rows. After a disk error, only CSV can be kept: Parquet needs a complete footer."""
    with suppress(UserError):
        file.close()
    if not file.rows or (file.has_failed and out.suffix != ".csv"):
        return
    if file.has_failed:
        os.truncate(temporary, file.size_bytes)  # removes a row that was written in part
    partial = out.with_suffix(f".partial{out.suffix}")
    temporary.replace(partial)
    log.warning("%s: contains the %d predictions made so far", display_path(partial), file.rows)


def _temporary_path(out: Path) -> Path:
    return out.with_name(f".{out.name}.{uuid.uuid4().hex[:8]}.part")
