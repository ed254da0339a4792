"""Trains one model into a folder and prints its progress."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from raysearch.config import TrainingConfig
from raysearch.errors import SpaceError, StudyError
from raysearch.io import display_path, read_yaml, require_local
from raysearch.paths import TrialPaths
from raysearch.section import validate
from raysearch.shipped import find_file
from raysearch.space import load_training
from raysearch.space.options import format_overrides
from raysearch.train.result import State, read_metrics, write_result


def train_one(
    config: str, overrides: Sequence[str] = (), *, data: str | None, out: Path, threads: int, loader_workers: int
) -> None:
    """Train ``config`` into ``out``, or resume there. The arguments are the options of `raysearch.train`.

    Raises `UserError`, and exits with code 1 if the training diverges. Torch is imported late, after the checks that
    do not need it, because its import takes seconds.
    """
    require_local("--out", out)
    path = find_file("spaces", config)
    training = load_training(path, format_overrides(overrides, data=data))
    if training.data.folds and training.data.fold is None:
        last = training.data.folds - 1
        raise SpaceError(
            f"{display_path(path)}: data.fold: must be set if data.folds is {training.data.folds}, got null; "
            f"use --set data.fold=N with N from 0 to {last}"
        )
    paths = TrialPaths(out)
    _check_folder(paths, training)

    import torch

    from raysearch.train.distributed import torchrun_group
    from raysearch.train.loop import Diverged, train
    from raysearch.train.resource_check import check_fit
    from raysearch.train.stage import open_training_data

    if threads:
        torch.set_num_threads(threads)
    dataset = open_training_data(training)
    check_fit(training.trial, len(dataset.classes))
    out.mkdir(parents=True, exist_ok=True)
    with torchrun_group() as world:
        reporter = _Printer(training) if world.is_main else _Silent()
        try:
            train(training, dataset, paths, reporter, loader_workers=loader_workers)
        except KeyboardInterrupt:
            print(f"stopped; run the same command again to resume after epoch {len(read_metrics(paths))}")
            raise
        except Diverged as error:
            if world.is_main:
                _end(paths, training, "FAIL", str(error))
            print(f"error: {error}", file=sys.stderr)
            raise typer.Exit(1) from None
        if world.is_main:
            result = _end(paths, training, "COMPLETE")
            print(
                f"the {result['role']} is best: held-out {training.objective} {result['value']:.4f}; written to {out}"
            )


def _end(paths: TrialPaths, training: TrainingConfig, state: State, reason: str | None = None) -> dict[str, Any]:
    trial = training.trial
    result = write_result(paths, 0, state, training.objective, trial.total_epochs, trial.backbone, {}, reason)
    paths.resume.unlink(missing_ok=True)
    return result


def _check_folder(paths: TrialPaths, training: TrainingConfig) -> None:
    """Check that the folder is empty or missing, or holds an unfinished training with the same config."""
    if paths.result.is_file():
        raise StudyError(f"{paths.root}: already holds a finished training; use another --out")
    if paths.config.is_file():
        if validate(TrainingConfig, read_yaml(paths.config), str(paths.config)) != training:
            raise StudyError(f"{paths.root}: holds a training with another config; use another --out")
    elif paths.root.exists() and (not paths.root.is_dir() or any(paths.root.iterdir())):
        raise StudyError(f"{paths.root}: is neither an empty folder nor a training; use another --out")


class _Printer:
    """Prints one line per evaluation, and never stops the training."""

    def __init__(self, training: TrainingConfig) -> None:
        self.epochs = training.trial.total_epochs
        self.share = "balanced_accuracy" if training.objective == "balanced_accuracy" else "accuracy"

    def report(self, metrics: Mapping[str, Any]) -> None:
        views = (f"{view} {100 * scores[self.share]:.1f} %" for view, scores in metrics["held_out"].items())
        held_out = "  ".join(["balanced accuracy:", *views] if self.share == "balanced_accuracy" else views)
        loss = metrics["train"]["loss"]
        print(
            f"epoch {metrics['epoch']}/{self.epochs}  {metrics['seconds']:.0f} s  loss {loss:.3f}  {held_out}",
            flush=True,
        )

    def should_stop(self) -> bool:
        return False


class _Silent:
    """The reporter of every process except the first."""

    def report(self, metrics: Mapping[str, Any]) -> None:
        pass

    def should_stop(self) -> bool:
        return False
