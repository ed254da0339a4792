"""Predictions as a table: one row an image, as CSV, as Parquet, or the first rows on the terminal."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from rich.table import Table

from raysearch.errors import UserError
from raysearch.io import display_path, replacing

WRITERS = {".csv": pyarrow.csv.write_csv, ".parquet": pyarrow.parquet.write_table}
"""By the file's ending."""


def prediction_table(ids: Sequence[str], probs: np.ndarray, classes: Sequence[str]) -> pa.Table:
    """Columns `id`, `prediction` (a class name), `confidence` (its probability) and a `prob_<class>` for each class.

    ``probs``: float64 [samples, classes].
    """
    best = probs.argmax(axis=1)
    columns: dict[str, object] = {
        "id": pa.array(ids, pa.string()),
        "prediction": pa.array([classes[index] for index in best], pa.string()),
        "confidence": probs[np.arange(len(probs)), best],
    }
    return pa.table(columns | {f"prob_{name}": probs[:, index] for index, name in enumerate(classes)})


def check_out(out: Path) -> None:
    """Refuse a file that cannot be written as a table, before anything is predicted for it."""
    if out.suffix not in WRITERS:
        raise UserError(f"--out {out}: must end in {' or '.join(WRITERS)}, got {out.suffix or 'no ending'!r}")
    if out.is_dir():
        raise UserError(f"--out {display_path(out)}: is a folder; give a file")


def write_table(out: Path, table: pa.Table) -> None:
    """Write by the file's ending, aside then renamed; a file in its place is replaced."""
    try:
        with replacing(out) as aside:
            WRITERS[out.suffix](table, aside)
    except OSError as error:
        raise UserError(f"--out {display_path(out)}: cannot be written ({error.strerror or error})") from error


def first_rows(table: pa.Table, rows: int) -> Table:
    """The three columns that fit a terminal, of the first ``rows``."""
    shown = Table()
    shown.add_column("id")
    shown.add_column("prediction")
    shown.add_column("confidence", justify="right")
    for row in table.select(["id", "prediction", "confidence"]).slice(0, rows).to_pylist():
        shown.add_row(row["id"], row["prediction"], f"{row['confidence']:.3f}")
    return shown
