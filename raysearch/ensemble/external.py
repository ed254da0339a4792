"""Predictions made elsewhere, by any model of any framework, as further candidates: a Parquet or a CSV file.

One row a held-out sample, in any order: a column `id` (or `sample_id`) with the study's sample ids, and for each class
a column `prob_<class>` (as raysearch.predict writes it) or `<class>` with its probability. Other columns are passed
over. Nothing here can tell whether that model was trained on the held-out samples, and then every figure flatters.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from raysearch.ensemble.checks import fault_of_probs, shortened, twice
from raysearch.ensemble.library import Added, Library
from raysearch.errors import PredictionsError, did_you_mean
from raysearch.io import display_path, sha256

ID_COLUMNS = ("id", "sample_id")
PREFIX = "prob_"


def with_added(library: Library, files: Sequence[Path]) -> Library:
    """``library`` with a candidate for each of ``files``, called by its file's name.

    Raises `PredictionsError` naming each file that cannot be read, and each that is not of the library's samples and
    classes, with the difference.
    """
    names = [file.name for file in files]
    faults = [
        f"--add {name}: two files of this name; rename one" for name in sorted(set(names)) if names.count(name) > 1
    ]
    added = []
    for file in files:
        try:
            added.append(Added(file.name, _read(file, library), sha256(file)))
        except PredictionsError as error:
            faults += error.faults
    if faults:
        raise PredictionsError(faults)
    return Library(library.candidates, tuple(added), library.notes)


def _read(file: Path, library: Library) -> np.ndarray:
    """float32 [samples, classes]: the file's probabilities in the library's order of samples and classes."""
    shown = display_path(file)
    if file.suffix not in READERS:
        raise PredictionsError(f"{shown}: must end in {' or '.join(READERS)}, got {file.suffix or 'no ending'!r}")
    if not file.is_file():
        raise PredictionsError(f"{shown}: no such file")
    try:
        table = READERS[file.suffix](file)
    except (OSError, pa.ArrowException) as error:
        raise PredictionsError(f"{shown}: not readable as a table ({' '.join(str(error).split())[:200]})") from error
    try:
        return _probs(table, library)
    except _Fault as fault:
        raise PredictionsError(f"{shown}: {fault}") from None


class _Fault(Exception):
    """What is wrong with a table."""


def _probs(table: pa.Table, library: Library) -> np.ndarray:
    row_of = _rows(table, library.sample_ids)
    columns = _class_columns(table.column_names, library.classes)
    found = np.empty((len(row_of), len(columns)), dtype=np.float32)
    for at, name in enumerate(columns):
        found[:, at] = _numbers(table[name], name)[row_of]
    if fault := fault_of_probs(found, library.sample_ids):
        raise _Fault(fault)
    return found


def _rows(table: pa.Table, sample_ids: Sequence[str]) -> np.ndarray:
    """int [samples]: the table's row of each sample."""
    column = next((name for name in ID_COLUMNS if name in table.column_names), None)
    if column is None:
        raise _Fault(f"must have a column 'id' (or 'sample_id'), but has {shortened(table.column_names)}")
    ids = [str(value) for value in table[column].to_pylist()]
    if len(set(ids)) < len(ids):
        raise _Fault(f"{column}: {twice(ids)} stands more than once; one row a held-out sample must stand here")
    row_of = {name: row for row, name in enumerate(ids)}
    for what, names in (("lacks", set(sample_ids) - row_of.keys()), ("must not hold", row_of.keys() - set(sample_ids))):
        if names:
            raise _Fault(
                f"{column}: {what} {shortened(sorted(map(repr, names)))}; its ids must be those of the study's "
                f"{len(sample_ids)} held-out samples"
            )
    return np.array([row_of[name] for name in sample_ids])


def _class_columns(names: Sequence[str], classes: Sequence[str]) -> list[str]:
    """The columns with the probabilities of ``classes``, in that order."""
    prefix = PREFIX if any(PREFIX + name in names for name in classes) else ""
    wanted = [prefix + name for name in classes]
    if missing := [name for name in wanted if name not in names]:
        forms = f"'{PREFIX}<class>'" if prefix else f"'{PREFIX}<class>' or '<class>'"
        raise _Fault(f"lacks {shortened(missing)}; a column {forms} must stand here for each of the study's classes")
    if unknown := [name for name in names if prefix and name.startswith(prefix) and name not in wanted]:
        raise _Fault(f"{unknown[0]}: not a class of the study{did_you_mean(unknown[0], wanted)}")
    return wanted


def _numbers(column: pa.ChunkedArray, name: str) -> np.ndarray:
    """float64 [rows]; what is missing is NaN."""
    try:
        return column.cast(pa.float64()).to_numpy()
    except pa.ArrowException as error:
        raise _Fault(f"{name}: must hold numbers, got {column.type}") from error


def _read_csv(file: Path) -> pa.Table:
    as_text = pa.csv.ConvertOptions(column_types=dict.fromkeys(ID_COLUMNS, pa.string()))  # "007" is not 7
    return pa.csv.read_csv(file, convert_options=as_text)


READERS = {".parquet": pa.parquet.read_table, ".csv": _read_csv}
"""By the file's ending."""
