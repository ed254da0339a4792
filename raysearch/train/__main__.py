"""`python -m raysearch.train`: train one model, without Ray."""

from pathlib import Path
from typing import Annotated

import typer

from raysearch.cli import application, run


def command(
    config: Annotated[
        str,
        typer.Argument(
            help="A trial's config.yaml, or the name or file of a space without distributions.", metavar="NAME|FILE"
        ),
    ],
    data: Annotated[
        str | None, typer.Option(help="Labelled images: digits, or a folder. Default: data.source of the config.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Trial folder to write.")] = Path("runs/training"),
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change a value of the config: path=value, such as trial.epochs=6. Repeatable."),
    ] = None,
    threads: Annotated[int, typer.Option(min=0, help="CPU threads. 0: one per core.")] = 0,
    loader_workers: Annotated[int, typer.Option(min=0, help="Processes that prepare batches in advance. 0: none.")] = 0,
) -> None:
    """Train one model, and write weights, held-out predictions and metrics to a trial folder.

    To resume after a stop, run the same command again: training continues after the last finished epoch.
    With torchrun, several processes train one model (NCCL on GPUs, gloo on CPUs):
    torchrun --nproc-per-node 2 -m raysearch.train CONFIG.
    """
    from raysearch.train.single import train_one

    train_one(config, set_ or (), data=data, out=out, threads=threads, loader_workers=loader_workers)


app = application(command)

if __name__ == "__main__":
    run(app)
