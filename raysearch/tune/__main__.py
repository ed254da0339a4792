"""`python -m raysearch.tune`: search a space."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from raysearch.cli import application, run
from raysearch.errors import UserError
from raysearch.io import display_path, require_local
from raysearch.shipped import find_file, list_shipped_files


def command(
    space: Annotated[
        str,
        typer.Argument(
            help="Name of an included space (see `raysearch spaces`), or a space file.", metavar="NAME|FILE"
        ),
    ] = "",
    data: Annotated[
        str | None,
        typer.Option(
            help="Labelled images: digits (included); a folder with train.parquet, val.parquet and optionally "
            "test.parquet; a folder with the folders train, val and optionally test, which hold one folder per class; "
            "or one folder with one folder per class, which raysearch splits. Default: data.source of the space."
        ),
    ] = None,
    trials: Annotated[
        str | None,
        typer.Option(
            metavar="N|+N",
            help="Total number of trials; failed trials do not count. With --resume, +N adds N to the study's total. "
            "Default: search.trials of the space.",
        ),
    ] = None,
    timeout_s: Annotated[
        float | None,
        typer.Option(help="Time limit in seconds. Running trials then write their predictions and stop."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for studies. This study is written to OUT/<study>.")] = Path("runs"),
    concurrency: Annotated[
        int | None, typer.Option(min=1, help="Trials that run at the same time. Default: as many as fit.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Seed of the sampler; trial N trains with this seed plus N.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change a value of the space: path=value, such as trial.epochs=6. Repeatable."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the study in OUT.")] = False,
    address: Annotated[
        str | None, typer.Option(help="Address of a running Ray cluster, or auto. Default: this machine.")
    ] = None,
    plan: Annotated[
        bool,
        typer.Option("--plan", help="Print the expected time, memory and disk space, check the space, and exit."),
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", help="Print only failures and messages that need your attention.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per event to stdout.")] = False,
) -> None:
    """Search a space. Every trial is a full training, and its held-out predictions can join an ensemble.

    If the space has a section `ablation`, the command trains each of its rows with each of its seeds instead.

    Ctrl-C or the time limit stops running trials after the current batch. Everything trained so far is kept.
    """
    if not space:
        known = ", ".join(list_shipped_files("spaces"))
        raise UserError(f"no space given; give a space file or the name of an included space; known: {known}")
    if timeout_s is not None and not timeout_s > 0:
        raise UserError(f"--timeout-s: must be greater than 0, got {timeout_s:g}")
    require_local("--out", out)
    require_local("--data", data or "")
    from raysearch.space import load_space
    from raysearch.space.options import format_overrides
    from raysearch.tune.display.summary import print_ablation_summary, print_summary

    path = find_file("spaces", space)
    given = format_overrides(set_ or (), data=data, timeout_s=timeout_s, concurrency=concurrency, seed=seed)
    loaded = load_space(path, given)

    from raysearch.tune.search import SearchOptions, search

    search_options = SearchOptions(out, trials, resume, address, plan, quiet, as_json)
    paths, space_as_run = search(loaded, search_options, where=display_path(path))
    if not (plan or quiet or as_json):
        summarize = print_ablation_summary if space_as_run.ablation else print_summary
        summarize(paths, space_as_run, sys.argv[1:])


app = application(command)

if __name__ == "__main__":
    run(app)
