"""`python -m raysearch.fit`: from labelled images and a time budget to a verified checkpoint set."""

import time
from pathlib import Path
from typing import Annotated, Literal

import typer

from raysearch.cli import application, run
from raysearch.io import require_local

BEGAN = time.monotonic()
"""Start of the command: the budget includes the time to import torch."""


def command(
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="SOURCE",
            help="Labelled images: digits (included); a folder with one folder per class; a folder with the folders "
            "train, val and optionally test, which hold one folder per class; or a folder with train.parquet, "
            "val.parquet and optionally test.parquet. With --resume it can be left out.",
            show_default=False,
        ),
    ] = None,
    minutes: Annotated[
        str | None,
        typer.Option(
            metavar="N|+N", help="Time that the whole command may take, in minutes. With --resume, +N adds N minutes."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder to create for the fit. Default: fits/NAME_OF_SOURCE.", show_default=False),
    ] = None,
    division: Annotated[
        Literal["folds", "refit", "split"] | None,
        typer.Option(
            help="How the labels are used. folds: each network leaves out another part, on which it is scored; all "
            "networks together learn from all labels. refit: the search leaves out a part, then its best networks are "
            "trained again on all labels. split: every network leaves out the same part. Default: folds; split if "
            "there are more than 4000 images.",
            show_default=False,
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="Change a value of the space `fit`: path=value, such as trial.augment.hflip=0 for images that must "
            "not be mirrored. Repeatable.",
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the fit in OUT.")] = False,
    address: Annotated[
        str | None, typer.Option(help="Address of a running Ray cluster, or auto. Default: this machine.")
    ] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Print what would be trained, and for how long, and exit.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", help="Print only failures and messages that need your attention.")
    ] = False,
) -> None:
    """Train the best ensemble that the given time allows.

    Checks the images, measures this machine and lays out the time. Then it trains
    networks from scratch, selects an ensemble, exports and verifies it, and writes a
    report. OUT/set holds the best verified set so far, from the first round on.
    OUT/space.yaml holds every decision as a space for `raysearch tune`.
    """
    require_local("--out", out or "")
    require_local("SOURCE", source or "")
    from raysearch.fit.fitting import FitOptions, default_folder, fit

    options = FitOptions(
        out=out or default_folder(source),
        minutes=minutes,
        overrides=set_ or (),
        division=division,
        resume=resume,
        address=address,
        plan_only=plan,
        quiet=quiet,
    )
    fit(source, options, BEGAN)


app = application(command)

if __name__ == "__main__":
    run(app)
