"""`python -m raysearch.evaluate SET_DIR --data SOURCE`: score a checkpoint set on labelled images."""

from pathlib import Path
from typing import Annotated

import typer

from raysearch.cli import application, run
from raysearch.predict.manifest import Tta


def command(
    set_dir: Annotated[
        Path,
        typer.Argument(metavar="SET_DIR", help="The set's folder, as raysearch.export wrote it.", show_default=False),
    ],
    data: Annotated[
        str,
        typer.Option(
            help="Labelled images: `digits`, a folder with test.parquet, a folder with class folders in test/, or one "
            "folder of class folders, which is split as the study splits. Only the split asked for need be there.",
            show_default=False,
        ),
    ],
    split: Annotated[str, typer.Option(help="The split to score: train, val or test.")] = "test",
    tta: Annotated[
        Tta | None,
        typer.Option(help="How every member looks at an image: its centre, or ten crops. Default: each as selected."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write all figures, those of each class and the whole confusion to this .json.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file --out.")] = False,
) -> None:
    """Score a checkpoint set on labelled images, matching classes by name.

    Prints accuracy, balanced accuracy, log loss and calibration error (ECE), the
    recall of each class and what it is taken for, each with a 95 % interval, and
    as the last line one JSON object with the figures of all images.

    Intervals are of a bootstrap: 1000 resamples of the images, seeded. Wilson's
    stands in for shares with fewer than 10 images right, or wrong, of which
    resamples say too little.
    """
    from raysearch.evaluate.scoring import score_set  # imports torch

    score_set(set_dir, data, split, tta=tta, out=out, overwrite=overwrite)


app = application(command)

if __name__ == "__main__":
    run(app)
