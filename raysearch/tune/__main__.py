"""`python -m raysearch.tune`: a search."""

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from raysearch.cli import run
from raysearch.paths import StudyPaths
from raysearch.space import load_space
from raysearch.train.result import read_result


def command(
    space: Annotated[Path, typer.Argument(help="The space file, e.g. spaces/cr.yaml.")],
    data: Annotated[
        str | None,
        typer.Option(
            help="Labelled images: digits; a folder with train.parquet, val.parquet and maybe test.parquet; a folder "
            "of train, val and maybe test folders of class folders; or one folder of class folders, which is split. "
            "Default: the space's."
        ),
    ] = None,
    trials: Annotated[
        int | None, typer.Option(help="Trials that end COMPLETE or PRUNED. Default: the space's.")
    ] = None,
    timeout_s: Annotated[
        float | None, typer.Option(help="Seconds after which running trials stop, write their predictions and end.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Where the study's folder goes: OUT/<study>.")] = Path("runs"),
    concurrency: Annotated[int | None, typer.Option(help="Trials at once. Default: as many as fit.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the sampler and of every training.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="path=value, wins over the file: trial.epochs=6, trial.backbone=resnet18, ..."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the study in OUT.")] = False,
    address: Annotated[str | None, typer.Option(help="A running Ray cluster, or auto. Default: this machine.")] = None,
) -> None:
    """Search a space: every trial is a full training whose held-out predictions can join the ensemble.

    Ctrl-C or the time limit stops running trials after their batch; nothing that was trained is lost.
    """
    options = {
        "search.trials": trials,
        "search.timeout_s": timeout_s,
        "resources.concurrency": concurrency,
        "search.seed": seed,
        "trial.seed": seed,
        "data.source": data and json.dumps(data),
    }
    given = [f"{path}={value}" for path, value in options.items() if value is not None]
    loaded = load_space(space, [*(set_ or []), *given])

    from raysearch.tune.search import search

    paths = search(loaded, out, resume=resume, address=address)
    print_summary(paths, loaded.search.trials)


def print_summary(paths: StudyPaths, trials: int) -> None:
    """The best trials, and the command that comes next."""
    results = [result for _, folder in paths.trials() if (result := read_result(folder))]
    ended = [result for result in results if result["state"] in ("COMPLETE", "PRUNED") and result["value"] is not None]
    sign = -1 if ended and ended[0]["objective"] == "accuracy" else 1
    table = Table(box=None, pad_edge=False)
    for name in ("trial", "state", "value", "backbone", "best view", "epochs"):
        table.add_column(name, justify="right" if name in ("trial", "value", "epochs") else "left")
    for result in sorted(ended, key=lambda r: sign * r["value"])[:5]:
        epochs = f"{result['epochs_done']}/{result['epochs']}"
        best = (f"{result['trial_number']}", result["state"], f"{result['value']:.4f}", result["backbone"])
        table.add_row(*best, f"{result['role']}-final", epochs)
    Console().print(table)
    if len(ended) < trials:
        same = shlex.join(word for word in sys.argv[1:] if word != "--resume")
        print(f"\n{len(ended)} of {trials} trials ended. Go on: python -m raysearch.tune {same} --resume")
    if ended:
        print(f"\nNext: python -m raysearch.ensemble {paths.root}")


def main() -> None:
    run(command)


if __name__ == "__main__":
    main()
