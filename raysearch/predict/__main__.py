"""`python -m raysearch.predict SET_DIR IMAGES...`: classify images with a checkpoint set."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from raysearch.cli import application, run
from raysearch.paths import Crops


def command(
    set_dir: Annotated[
        Path,
        typer.Argument(
            metavar="SET_DIR", help="Folder of the checkpoint set, written by `raysearch export`.", show_default=False
        ),
    ],
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGES",
            help="Image files and folders, which are searched recursively; or Parquet files with a column `image`; or "
            "one labelled source: `digits`, a folder with train.parquet, val.parquet or test.parquet, or any other "
            "source with --split.",
            show_default=False,
        ),
    ],
    split: Annotated[
        str | None,
        typer.Option(help="Split of a labelled source: train, val or test. Default: test."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Write all predictions to this .csv or .parquet file. Default: print the first 20."),
    ] = None,
    format_: Annotated[
        Literal["table", "vipriors"],
        typer.Option(
            "--format",
            help="`table`: the columns above. `vipriors`: submission file for that challenge, class indices as .csv.",
        ),
    ] = "table",
    top_k: Annotated[
        int, typer.Option(min=0, help="Add columns top1, top1_prob, ... for the K most probable classes.")
    ] = 0,
    tta: Annotated[
        Crops | None,
        typer.Option(
            help="Test-time augmentation for all members: one centre crop, mean over it and its mirror image, or ten "
            "crops. Default: as each was selected."
        ),
    ] = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="Output the ensemble's probabilities without calibration by the temperature.")
    ] = False,
    skip_broken: Annotated[
        bool,
        typer.Option(
            "--skip-broken", help="Exit with code 0 even if some images cannot be read; they are still listed."
        ),
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the --out file if it exists.")] = False,
) -> None:
    """Classify images with a checkpoint set.

    Columns: id; prediction, the class; confidence, its probability; agreement,
    the total weight of the members that predict the same class; and prob_CLASS
    for each class.

    The id of an image file is its path relative to the given folder, or to the
    common folder of all arguments. In a Parquet file it is `image.path`. In a
    labelled source it is the source's id.

    Images that cannot be read are left out and listed at the end, with exit
    code 2. If a run is interrupted, NAME.partial.csv keeps the finished rows.
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
