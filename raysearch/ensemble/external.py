"""Adds predictions of other models, from any framework, as candidates: Parquet or CSV files.

A file has one row per held-out sample, in any order: a column `id` (or `sample_id`) with the study's sample ids, and
for each class a column `prob_<class>` (written by `raysearch predict`) or `<class>` with its probability. Other columns
are ignored. This module cannot detect whether the model was trained on the held-out samples; if it was, every figure is
too optimistic.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from raysearch.ensemble.checks import find_probs_fault, list_duplicates, shorten
from raysearch.ensemble.library import Added, Library
from raysearch.errors import PredictionsError, did_you_mean
from raysearch.io import display_path, sha256

ID_COLUMNS = ("id", "sample_id")
PREFIX = "prob_"


def add_files(library: Library, files: Sequence[Path]) -> Library:
    """Add a candidate to ``library`` for each of ``files``, named after the file.

    Raises `PredictionsError` naming each file that cannot be read, and each file whose samples or classes differ from
    the library's, with the difference.
    """
    names = [file.name for file in files]
    faults = [
        f"--add {name}: file names must be unique, but two files have this name; rename one"
        for name in sorted(set(names))
        if names.count(name) > 1
    ]
    added = []
    for file in files:
        try:
            added.append(Added(file.name, _read(file, library), sha256(file)))
        except PredictionsError as error:
            faults += error.faults
    if faults:
        raise PredictionsError(faults)
    return replace(library, added=tuple(added))


def _read(file: Path, library: Library) -> np.ndarray:
    """float32 [samples, classes]: the file's probabilities in the library's order of samples and classes."""
    shown = display_path(file)
    if file.suffix not in READERS:
        raise PredictionsError(f"{shown}: must end in {' or '.join(READERS)}, got {file.name!r}")
    if not file.is_file():
        raise PredictionsError(f"{shown}: no such file")
    try:
        table = READERS[file.suffix](file)
    except (OSError, pa.ArrowException) as error:
        raise PredictionsError(f"{shown}: cannot be read as a table ({' '.join(str(error).split())[:200]})") from error
    try:
        return _probs(table, library)
    except _Fault as fault:
        raise PredictionsError(f"{shown}: {fault}") from None
    except UnicodeDecodeError as error:
        raise PredictionsError(f"{shown}: not UTF-8 text ({error.reason})") from None


class _Fault(Exception):
    """What is wrong with a table; the caller adds the file's name."""


def _probs(table: pa.Table, library: Library) -> np.ndarray:
    rows = _rows(table, library.sample_ids)
    columns = _class_columns(table.column_names, library.classes)
    probs = np.empty((len(rows), len(columns)), dtype=np.float32)
    for index, name in enumerate(columns):
        probs[:, index] = _numbers(table[name], name)[rows]
    if fault := find_probs_fault(probs, library.sample_ids):
        raise _Fault(fault)
    return probs


def _rows(table: pa.Table, sample_ids: Sequence[str]) -> np.ndarray:
    """int [samples]: the table's row of each sample."""
    column = next((name for name in ID_COLUMNS if name in table.column_names), None)
    if column is None:
        raise _Fault(f"must have a column 'id' (or 'sample_id'), but has the columns {shorten(table.column_names)}")
    ids = [str(value) for value in table[column].to_pylist()]
    if len(set(ids)) < len(ids):
        raise _Fault(
            f"{column}: must have one row per held-out sample, but {list_duplicates(ids)} occurs more than once"
        )
    row_of = {name: row for row, name in enumerate(ids)}
    for what, names in (("misses", set(sample_ids) - row_of.keys()), ("has unknown", row_of.keys() - set(sample_ids))):
        if names:
            raise _Fault(
                f"{column}: {what} {shorten(sorted(map(repr, names)))}; the ids must be the study's {len(sample_ids)} "
                "held-out samples"
            )
    return np.array([row_of[name] for name in sample_ids])


def _class_columns(names: Sequence[str], classes: Sequence[str]) -> list[str]:
    """The columns with the probabilities of ``classes``, in that order."""
    prefix = PREFIX if any(PREFIX + name in names for name in classes) else ""
    columns = [prefix + name for name in classes]
    if missing := [name for name in columns if name not in names]:
        forms = f"'{PREFIX}<class>'" if prefix else f"'{PREFIX}<class>' or '<class>'"
        raise _Fault(f"misses {shorten(missing)}; each of the study's classes needs a column {forms}")
    if unknown := [name for name in names if prefix and name.startswith(prefix) and name not in columns]:
        raise _Fault(f"{unknown[0]}: not a class of the study{did_you_mean(unknown[0], columns)}")
    return columns


def _numbers(column: pa.ChunkedArray, name: str) -> np.ndarray:
    """float64 [rows]; NaN for missing values."""
    try:
        return column.cast(pa.float64()).to_numpy()
    except pa.ArrowException as error:
        raise _Fault(f"{name}: must contain numbers, got {column.type}") from error


def _read_csv(file: Path) -> pa.Table:
    as_text = pa.csv.ConvertOptions(column_types=dict.fromkeys(ID_COLUMNS, pa.string()))  # keeps "007"
    return pa.csv.read_csv(file, convert_options=as_text)


READERS = {".parquet": pa.parquet.read_table, ".csv": _read_csv}
"""By file suffix."""
