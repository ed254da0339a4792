"""`python -m raysearch.predict SET_DIR IMAGES...`: classify images with a checkpoint set."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from raysearch.cli import application, run
from raysearch.predict.manifest import Tta


def command(
    set_dir: Annotated[
        Path,
        typer.Argument(metavar="SET_DIR", help="The set's folder, as raysearch.export wrote it.", show_default=False),
    ],
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGES...",
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
    from raysearch.predict.classify import classify  # imports torch

    classify(
        set_dir,
        images,
        split=split,
        out=out,
        is_submission=format_ == "vipriors",
        top_k=top_k,
        tta=tta,
        raw=raw,
        skip_broken=skip_broken,
        overwrite=overwrite,
    )


app = application(command)

if __name__ == "__main__":
    run(app)
