"""`python -m raysearch.train`: one training, without Ray."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from raysearch.cli import run
from raysearch.config import TrainingConfig
from raysearch.errors import StudyError
from raysearch.io import read_yaml
from raysearch.paths import TrialPaths
from raysearch.space import load_training


def command(
    config: Annotated[Path, typer.Argument(help="A trial's config.yaml, or a space file without distributions.")],
    data: Annotated[str | None, typer.Option(help="Labelled images: digits, or a folder. Default: the file's.")] = None,
    out: Annotated[Path, typer.Option(help="The trial folder to write.")] = Path("runs/training"),
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="path=value, e.g. trial.epochs=6; may be repeated.")
    ] = None,
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 0: as many as there are cores.")] = 0,
) -> None:
    """Train one model into a trial folder: weights, held-out predictions, metrics. Started again after a stop with
    the same config and --out, it goes on from its last whole epoch."""
    overrides = list(set_ or []) + ([f"data.source={json.dumps(data)}"] if data else [])
    training = load_training(config, overrides)
    paths = TrialPaths(out)
    _check_free(paths, training)

    import torch

    from raysearch.data import open_dataset
    from raysearch.train.loop import train
    from raysearch.train.result import write_result

    if threads:
        torch.set_num_threads(threads)
    dataset = open_dataset(training.data, training.trial.image_size)
    out.mkdir(parents=True, exist_ok=True)
    trial = training.trial
    train(training, dataset, paths, _Printer(trial.epochs))
    result = write_result(paths, 0, "COMPLETE", training.objective, trial.epochs, trial.backbone, {})
    print(f"{result['role']} is best: held-out {training.objective} {result['value']:.4f}; written to {out}")


def _check_free(paths: TrialPaths, training: TrainingConfig) -> None:
    if paths.result.is_file():
        raise StudyError(f"{paths.root}: already holds a finished training; give another --out")
    if paths.config.is_file() and TrainingConfig.model_validate(read_yaml(paths.config)) != training:
        raise StudyError(f"{paths.root}: holds a training of another config; give another --out")


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


def main() -> None:
    run(command)


if __name__ == "__main__":
    main()
