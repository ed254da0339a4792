"""`python -m raysearch.train`: one training, without Ray."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from raysearch.cli import run
from raysearch.config import TrainingConfig
from raysearch.errors import SpaceError, StudyError
from raysearch.io import display_path, read_yaml
from raysearch.paths import TrialPaths
from raysearch.section import validate
from raysearch.space import load_training
from raysearch.train.result import State, read_metrics, write_result


def command(
    config: Annotated[Path, typer.Argument(help="A trial's config.yaml, or a space file without distributions.")],
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
    overrides = list(set_ or []) + ([f"data.source={json.dumps(data)}"] if data else [])
    training = load_training(config, overrides)
    if training.data.folds and training.data.fold is None:
        last = training.data.folds - 1
        raise SpaceError(
            f"{display_path(config)}: data.fold: a training holds out one of {training.data.folds} folds, got null; "
            f"give one, from --set data.fold=0 to --set data.fold={last}"
        )
    paths = TrialPaths(out)
    _check_free(paths, training)

    import torch

    from raysearch.train.distributed import torchrun_group
    from raysearch.train.fit import check_fit
    from raysearch.train.loop import Diverged, train
    from raysearch.train.stage import open_training_data

    if threads:
        torch.set_num_threads(threads)
    dataset = open_training_data(training)
    check_fit(training.trial, len(dataset.classes))
    out.mkdir(parents=True, exist_ok=True)
    with torchrun_group() as world:
        reporter = _Printer(training.trial.total_epochs) if world.is_main else _Silent()
        try:
            train(training, dataset, paths, reporter, loader_workers=loader_workers)
        except KeyboardInterrupt:
            print(f"stopped; the same command goes on after epoch {len(read_metrics(paths))}")
            raise
        except Diverged as error:
            if world.is_main:
                _end(paths, training, "FAIL", str(error))
            print(f"error: {error}", file=sys.stderr)
            raise typer.Exit(1) from None
        if world.is_main:
            result = _end(paths, training, "COMPLETE")
            print(f"{result['role']} is best: held-out {training.objective} {result['value']:.4f}; written to {out}")


def _end(paths: TrialPaths, training: TrainingConfig, state: State, reason: str | None = None) -> dict[str, Any]:
    trial = training.trial
    result = write_result(paths, 0, state, training.objective, trial.total_epochs, trial.backbone, {}, reason)
    paths.resume.unlink(missing_ok=True)
    return result


def _check_free(paths: TrialPaths, training: TrainingConfig) -> None:
    """Only an empty folder, or one with a part of this very training, is written to."""
    if paths.result.is_file():
        raise StudyError(f"{paths.root}: already holds a training that has ended; give another --out")
    if paths.config.is_file():
        if validate(TrainingConfig, read_yaml(paths.config), str(paths.config)) != training:
            raise StudyError(f"{paths.root}: holds a training of another config; give another --out")
    elif paths.root.exists() and (not paths.root.is_dir() or any(paths.root.iterdir())):
        raise StudyError(f"{paths.root}: is no empty folder and holds no training; give another --out")


class _Printer:
    """Prints a line a look; never stops the training."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def report(self, metrics: Mapping[str, Any]) -> None:
        held_out = "  ".join(f"{view} {100 * f['accuracy']:.1f} %" for view, f in metrics["held_out"].items())
        loss = metrics["train"]["loss"]
        print(
            f"epoch {metrics['epoch']}/{self.epochs}  {metrics['seconds']:.0f} s  loss {loss:.3f}  {held_out}",
            flush=True,
        )

    def should_stop(self) -> bool:
        return False


class _Silent:
    """The host of a process that is not the first."""

    def report(self, metrics: Mapping[str, Any]) -> None:
        pass

    def should_stop(self) -> bool:
        return False


def main() -> None:
    run(command)


if __name__ == "__main__":
    main()
