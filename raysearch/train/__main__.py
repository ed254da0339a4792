"""`python -m raysearch.train`: one training, without Ray."""

from pathlib import Path
from typing import Annotated

import typer

from raysearch.cli import application, run


def command(
    config: Annotated[
        str, typer.Argument(help="A trial's config.yaml, or a space without distributions.", metavar="NAME|FILE")
    ],
    data: Annotated[str | None, typer.Option(help="Labelled images: digits, or a folder. Default: the file's.")] = None,
    out: Annotated[Path, typer.Option(help="The trial folder to write.")] = Path("runs/training"),
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="path=value, e.g. trial.epochs=6; may be repeated.")
    ] = None,
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 0: as many as there are cores.")] = 0,
    loader_workers: Annotated[int, typer.Option(min=0, help="Processes that make batches ahead; 0: none.")] = 0,
) -> None:
    """Train one model into a trial folder: weights, held-out predictions, metrics. Started again after a stop with
    the same config and --out, it goes on from its last whole epoch. Under torchrun, several processes train it
    together (NCCL on GPUs, gloo on CPUs): torchrun --nproc-per-node 2 -m raysearch.train CONFIG."""
    from raysearch.train.single import train_one

    train_one(config, set_ or (), data=data, out=out, threads=threads, loader_workers=loader_workers)


app = application(command)

if __name__ == "__main__":
    run(app)
