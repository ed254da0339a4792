"""One training as one Ray Tune trial, inline in a reused actor."""

import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ray import tune

from raysearch.config import Objective, TrainingConfig
from raysearch.io import read_yaml, write_text
from raysearch.paths import TrialPaths

METRIC = "value"
"""Tune's name of the objective: the better of student and teacher at this look, final head."""
PROGRESS = "percent"
"""Tune's clock: percent of the trial's own epochs, so that ASHA's rungs mean the same for every trial."""


def report_of(line: Mapping[str, Any], objective: Objective, epochs: int) -> dict[str, Any]:
    """A line of `metrics.jsonl` as Tune is told of it."""
    values = [line["held_out"][f"{role}-final"][objective] for role in ("student", "teacher")]
    return {
        METRIC: max(values) if objective == "accuracy" else min(values),
        PROGRESS: 100 * line["epoch"] / epochs,
        "epoch": line["epoch"] - line.get("partial", False),
        "epochs": epochs,
        "seconds": line["seconds"],
    }


class TuneReporter:
    """Tells Tune of every look; stops when the study's stop file appears."""

    def __init__(self, objective: Objective, epochs: int, stop: Path) -> None:
        self.objective, self.epochs, self.stop = objective, epochs, stop
        self.has_reported = False

    def report(self, metrics: Mapping[str, Any]) -> None:
        self.has_reported = True
        tune.report(report_of(metrics, self.objective, self.epochs))

    def should_stop(self) -> bool:
        return self.stop.exists()


def run_trial(config: dict[str, Any]) -> None:
    """Tune's trainable. ``config``: the trial's ``folder``, ready with its `config.yaml`, and the ``stop`` file."""
    paths = TrialPaths(Path(config["folder"]))
    try:
        _train(paths, Path(config["stop"]), config["threads"])
    except Exception as error:
        write_text(paths.error, "".join(traceback.format_exception(error)))
        raise


def _train(paths: TrialPaths, stop: Path, threads: int) -> None:
    # Imported here so that a driver needs no torch to describe its trials.
    import torch

    from raysearch.data import open_dataset
    from raysearch.train import train
    from raysearch.train.result import read_metrics

    torch.set_num_threads(threads)
    training = TrainingConfig.model_validate(read_yaml(paths.config))
    dataset = open_dataset(training.data, training.trial.image_size)
    reporter = TuneReporter(training.objective, training.trial.epochs, stop)
    train(training, dataset, paths, reporter)
    if not reporter.has_reported:  # resumed after its last epoch: Tune must hear of the end once more
        reporter.report(read_metrics(paths)[-1])
