"""`python -m raysearch.predict SET_DIR IMAGES_OR_SOURCE`: classify images with a checkpoint set."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from raysearch.cli import run
from raysearch.io import display_path
from raysearch.predict import load_set, open_images, predict_all
from raysearch.predict.table import check_out, first_rows, prediction_table, write_table

ROWS_SHOWN = 20


def command(
    set_dir: Annotated[
        Path, typer.Argument(help="The set's folder, as raysearch.export wrote it.", show_default=False)
    ],
    images_or_source: Annotated[
        str,
        typer.Argument(
            help="An image file, or a folder of images (those in folders below it too). It is read as a labelled "
            "source when it is `digits`, when it holds train, val or test.parquet, or when --split is given.",
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
) -> None:
    """Classify images. Columns: id, prediction, confidence, and prob_CLASS for each class.

    An id is the image's path below the folder given, or its id in the source.
    """
    if out:
        check_out(out)
    checkpoint_set = load_set(set_dir)
    images = open_images(images_or_source, split, checkpoint_set.image_sizes, checkpoint_set.manifest.data)
    table = prediction_table(*predict_all(checkpoint_set, images), checkpoint_set.classes)
    if out:
        write_table(out, table)
        print(f"{table.num_rows} predictions written to {display_path(out)}")
        return
    Console(markup=False, highlight=False, soft_wrap=True).print(first_rows(table, ROWS_SHOWN))
    if table.num_rows > ROWS_SHOWN:
        print(f"{table.num_rows - ROWS_SHOWN} more; --out predictions.csv keeps them all, with every probability")


def main() -> None:
    """Run the verb."""
    run(command)


if __name__ == "__main__":
    main()
