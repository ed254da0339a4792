"""`python -m raysearch.predict SET_DIR IMAGES...`: classify images with a checkpoint set."""

import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import pyarrow as pa
import typer
from rich.console import Console

from raysearch.cli import run
from raysearch.errors import DataError, UserError
from raysearch.io import display_path
from raysearch.predict import First, Images, Tta, load_set, open_images, predictions
from raysearch.predict.table import Columns, shown
from raysearch.predict.table_file import WRITERS, TableWriter, check_out, table_file
from raysearch.predict.vipriors import SubmissionWriter, check_submission

ROWS_SHOWN = 20


def command(
    set_dir: Annotated[
        Path, typer.Argument(help="The set's folder, as raysearch.export wrote it.", show_default=False)
    ],
    images: Annotated[
        list[str],
        typer.Argument(
            help="Image files and folders of images (those in folders below too); or Parquet files with a column "
            "`image`, with or without labels; or one labelled source: `digits`, a folder with train, val or "
            "test.parquet, or any other with --split.",
            show_default=False,
        ),
    ],
    split: Annotated[
        str | None,
        typer.Option(help="The split of a labelled source: train, val or test. Default for a source: test."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Write all predictions to this .csv or .parquet file. Default: print the first 20."),
    ] = None,
    format_: Annotated[
        Literal["table", "vipriors"],
        typer.Option(
            "--format",
            help="`table`: the columns above. `vipriors`: that challenge's submission, a .csv of class indices.",
        ),
    ] = "table",
    top_k: Annotated[
        int, typer.Option(min=0, help="Add columns top1, top1_prob, ... for so many of the best classes.")
    ] = 0,
    tta: Annotated[
        Tta | None,
        typer.Option(help="How every member looks at an image: its centre, or ten crops. Default: each as selected."),
    ] = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="The plain vote's probabilities, not calibrated by the set's temperature.")
    ] = False,
    skip_broken: Annotated[
        bool, typer.Option("--skip-broken", help="Images that cannot be read are listed, but are no error.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file --out.")] = False,
) -> None:
    """Classify images with a checkpoint set.

    Columns: id; prediction, a class; confidence, its probability; agreement,
    the share of the vote (by weight) of the members whose own choice it is;
    and prob_CLASS for each class.

    An id is the image's path below the folder given, or below the folder that
    all given lie in; in a Parquet file its `image.path`; its id in a source.

    Images that cannot be read are left out and named at the end, with exit
    code 2. What is done when a run breaks off is kept in NAME.partial.csv.
    """
    is_submission = format_ == "vipriors"
    if is_submission and not out:
        raise UserError("--format vipriors: needs --out, a .csv file")
    if out:
        check_out(out, overwrite=overwrite, endings=(".csv",) if is_submission else tuple(WRITERS))
    checkpoint_set = load_set(set_dir)
    if tta:
        checkpoint_set = checkpoint_set.with_tta(tta)
    columns = Columns(checkpoint_set.classes, [member.weight for member in checkpoint_set.members], top_k)
    found = open_images(images, split, checkpoint_set.image_sizes, checkpoint_set.manifest.data)
    if is_submission:
        check_submission(found.ids, checkpoint_set.classes)
    faults: list[str] = []

    def tables(wanted: Images) -> Iterator[pa.Table]:
        for batch in predictions(checkpoint_set, wanted, faults):
            yield columns.table(batch, batch.vote if raw else checkpoint_set.calibrated(batch.vote))

    if out:
        rows = _write(out, tables(found), _writer(out, columns, is_submission=is_submission), faults)
        left_out = f"; left out: {len(faults)} of {len(found.ids)} images, which cannot be read" if faults else ""
        print(f"{rows} predictions written to {display_path(out)}{left_out}")
    else:
        _print(list(tables(First(found, ROWS_SHOWN))), top_k, len(found.ids))
    if faults and skip_broken:
        print(*(f"skipped: {fault}" for fault in faults), sep="\n", file=sys.stderr)
    elif faults:
        raise DataError(faults)


def _writer(out: Path, columns: Columns, *, is_submission: bool) -> Callable[[Path], TableWriter]:
    if is_submission:
        return partial(SubmissionWriter, classes=columns.classes)
    return partial(WRITERS[out.suffix], schema=columns.schema)


def _write(
    out: Path, tables: Iterator[pa.Table], open_writer: Callable[[Path], TableWriter], faults: Sequence[str]
) -> int:
    """Rows written; there is no file, but a `DataError`, where no image can be read."""
    with table_file(out, open_writer) as file:
        for table in tables:
            file.write(table)
        if not file.rows:
            raise DataError(faults)
    return file.rows


def _print(tables: Sequence[pa.Table], top_k: int, count: int) -> None:
    rows = pa.concat_tables(tables)
    Console(markup=False, highlight=False, soft_wrap=True).print(shown(rows, top_k))
    if count > ROWS_SHOWN:
        print(f"{count - ROWS_SHOWN} more; --out predictions.csv keeps them all, with every probability")


def main() -> None:
    """Run the verb."""
    run(command)


if __name__ == "__main__":
    main()
