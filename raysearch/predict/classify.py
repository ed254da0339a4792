"""Classifies images and writes the predictions to a file or prints them."""

import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import pyarrow as pa
from rich.console import Console

from raysearch.errors import DataError, UserError
from raysearch.io import display_path
from raysearch.paths import Crops
from raysearch.predict.checkpoint_set import load_set
from raysearch.predict.inputs import First, Images, open_images
from raysearch.predict.progress import predict_batches
from raysearch.predict.table import Columns, format_table
from raysearch.predict.table_file import WRITERS, TableWriter, check_out, open_table_file
from raysearch.predict.vipriors import SubmissionWriter, check_submission

ROWS_SHOWN = 20
"""Number of predictions that are printed without --out."""


def classify(
    set_dir: Path,
    images: Sequence[str],
    *,
    split: str | None = None,
    out: Path | None = None,
    is_submission: bool = False,
    top_k: int = 0,
    tta: Crops | None = None,
    raw: bool = False,
    skip_broken: bool = False,
    overwrite: bool = False,
) -> None:
    """Classify ``images`` with the set in ``set_dir``. The other arguments are the options of `raysearch.predict`.

    Raises `UserError` or `SetError` before anything is predicted. Raises `DataError` for images that cannot be read,
    after the predictions of all others have been written.
    """
    if is_submission and not out:
        raise UserError("--format vipriors: requires --out FILE.csv")
    if out:
        check_out(out, overwrite=overwrite, endings=(".csv",) if is_submission else tuple(WRITERS))
    checkpoint_set = load_set(set_dir)
    if tta:
        checkpoint_set = checkpoint_set.with_tta(tta)
    columns = Columns(checkpoint_set.classes, [member.weight for member in checkpoint_set.members], top_k)
    source = open_images(images, split, checkpoint_set.image_sizes, checkpoint_set.manifest.data)
    if is_submission:
        check_submission(source.ids, checkpoint_set.classes)
    faults: list[str] = []

    def predict_tables(images: Images) -> Iterator[pa.Table]:
        for batch in predict_batches(checkpoint_set, images, faults):
            yield columns.build_table(batch, batch.vote if raw else checkpoint_set.calibrated(batch.vote))

    if out:
        writer = _choose_writer(out, columns, is_submission=is_submission)
        rows = _write(out, predict_tables(source), writer, faults)
        left_out = f"; {len(faults)} of {len(source.ids)} images left out: they cannot be read" if faults else ""
        print(f"{rows} predictions written to {display_path(out)}{left_out}")
    else:
        tables = list(predict_tables(First(source, ROWS_SHOWN)))
        if not tables:
            raise DataError(faults)
        _print(tables, top_k, len(source.ids))
    if faults and skip_broken:
        print(*(f"skipped: {fault}" for fault in faults), sep="\n", file=sys.stderr)
    elif faults:
        raise DataError(faults)


def _choose_writer(out: Path, columns: Columns, *, is_submission: bool) -> Callable[[Path], TableWriter]:
    if is_submission:
        return partial(SubmissionWriter, classes=columns.classes)
    return partial(WRITERS[out.suffix], schema=columns.schema)


def _write(
    out: Path, tables: Iterator[pa.Table], open_writer: Callable[[Path], TableWriter], faults: Sequence[str]
) -> int:
    """Write ``tables``; return the number of rows. If no image can be read, write no file and raise `DataError`."""
    with open_table_file(out, open_writer) as file:
        for table in tables:
            file.write(table)
        if not file.rows:
            raise DataError(faults)
    return file.rows


def _print(tables: Sequence[pa.Table], top_k: int, count: int) -> None:
    rows = pa.concat_tables(tables)
    Console(markup=False, highlight=False, soft_wrap=True).print(format_table(rows, top_k))
    if count > ROWS_SHOWN:
        print(f"{count - ROWS_SHOWN} more; --out predictions.csv writes them all, with every probability")
