"""`python -m raysearch.evaluate FOLDER --data SOURCE`: score a checkpoint set or a training on labelled images."""

from pathlib import Path
from typing import Annotated

import typer

from raysearch.cli import application, run
from raysearch.paths import Crops


def command(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER",
            help="A checkpoint set, written by `raysearch export`, or a training: a trial's folder, such as "
            "runs/cr/trials/0003, or the --out of `raysearch train`.",
            show_default=False,
        ),
    ],
    data: Annotated[
        str,
        typer.Option(
            help="Labelled images: `digits`, a folder with test.parquet, a folder with class folders in test/, or one "
            "folder of class folders, which is split as in the study. Only the scored split must exist.",
            show_default=False,
        ),
    ],
    split: Annotated[str, typer.Option(help="The split to score: train, val or test.")] = "test",
    view: Annotated[
        str | None,
        typer.Option(
            help="For a training: the view to score, such as teacher-final or student-fused-tencrop. Default: the best "
            "by the training's objective on held_out.",
        ),
    ] = None,
    tta: Annotated[
        Crops | None,
        typer.Option(
            help="Inference mode of every member: centre crop, mean over it and its mirror image, or ten crops. "
            "Default: each member's own mode."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Write all figures, per-class results and the whole confusion matrix to this .json file."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the --out file if it exists.")] = False,
) -> None:
    """Score a checkpoint set or one training on labelled images, matching classes by name.

    A trial with folds is scored as the mean of its networks, as in an ensemble.

    Prints accuracy, balanced accuracy, log loss, calibration error (ECE), the
    recall of each class and the most frequent confusions, each with a 95 %
    interval. The last line is a JSON object with the figures of all images.

    Intervals come from a bootstrap: 1000 seeded resamples of the images. A share
    with fewer than 10 correct or fewer than 10 wrong images gets Wilson's
    interval instead, because the bootstrap is unreliable there.
    """
    from raysearch.evaluate.scoring import score_folder  # imports torch

    score_folder(folder, data, split, view=view, tta=tta, out=out, overwrite=overwrite)


app = application(command)

if __name__ == "__main__":
    run(app)
