"""`python -m raysearch.tune`: a search."""

import json
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
        str, typer.Argument(help="A space that ships (see raysearch spaces) or a space file.", metavar="NAME|FILE")
    ] = "",
    data: Annotated[
        str | None,
        typer.Option(
            help="Labelled images: digits; a folder with train.parquet, val.parquet and maybe test.parquet; a folder "
            "of train, val and maybe test folders of class folders; or one folder of class folders, which is split. "
            "Default: the space's."
        ),
    ] = None,
    trials: Annotated[
        str | None,
        typer.Option(
            metavar="N|+N",
            help="Trials that end COMPLETE or PRUNED; with --resume also +N, so many more than were last asked for. "
            "Default: the space's.",
        ),
    ] = None,
    timeout_s: Annotated[
        float | None, typer.Option(help="Seconds after which running trials stop, write their predictions and end.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Where the study's folder goes: OUT/<study>.")] = Path("runs"),
    concurrency: Annotated[int | None, typer.Option(min=1, help="Trials at once. Default: as many as fit.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of the sampler and of every training.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="path=value, wins over the file: trial.epochs=6, trial.backbone=resnet18, ..."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the study in OUT.")] = False,
    address: Annotated[str | None, typer.Option(help="A running Ray cluster, or auto. Default: this machine.")] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Say what the search would cost, and whether it can be run; begin nothing.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Say only what fails and what needs you.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="A line of JSON for each event, on stdout.")] = False,
) -> None:
    """Search a space: every trial is a full training whose held-out predictions can join the ensemble.

    A space with a section `ablation` is no search: each of its rows is trained as it is, with each of its seeds.

    Ctrl-C or the time limit stops running trials after their batch; nothing that was trained is lost.
    """
    if not space:
        raise UserError(f"no space given; name one that ships or a file. Known: {', '.join(list_shipped_files('spaces'))}")
    require_local("--out", out)
    require_local("--data", data or "")
    from raysearch.space import load_space
    from raysearch.tune.display.summary import print_ablation_summary, print_summary

    path = find_file("spaces", space)
    options = {
        "search.timeout_s": timeout_s,
        "resources.concurrency": concurrency,
        "search.seed": seed,
        "trial.seed": seed,
        "data.source": data and json.dumps(data),
    }
    given = [f"{key}={value}" for key, value in options.items() if value is not None]
    loaded = load_space(path, [*(set_ or []), *given])

    from raysearch.tune.search import SearchOptions, search

    wishes = SearchOptions(out, trials, resume, address, plan, quiet, as_json)
    paths, as_run = search(loaded, wishes, where=display_path(path))
    if not (plan or quiet or as_json):
        summarise = print_ablation_summary if as_run.ablation else print_summary
        summarise(paths, as_run, sys.argv[1:])


app = application(command)

if __name__ == "__main__":
    run(app)
