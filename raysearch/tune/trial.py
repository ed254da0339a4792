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


def value_of(line: Mapping[str, Any], objective: Objective) -> float:
    """The objective at a line of `metrics.jsonl` that holds a look."""
    values = [line["held_out"][f"{role}-final"][objective] for role in ("student", "teacher")]
    return max(values) if objective == "accuracy" else min(values)


def report_of(line: Mapping[str, Any], objective: Objective, epochs: int) -> dict[str, Any]:
    """A line of `metrics.jsonl` as Tune is told of it."""
    return {
        METRIC: value_of(line, objective),
        PROGRESS: 100 * line["epoch"] / epochs,
        "epoch": line["epoch"],
        "epochs": epochs,
        "is_whole": not line.get("partial", False),
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
    """Tune's trainable. ``config``: the trial's ``folder``, ready with its `config.yaml`, its ``number``, the ``stop``
    file and how many ``threads`` it has.
    """
    paths = TrialPaths(Path(config["folder"]))
    try:
        _train(paths, config["number"], Path(config["stop"]), config["threads"])
    except Exception as error:
        reason = f"{type(error).__name__}: {'; '.join(str(error).splitlines())}"
        write_text(paths.error, "\n\n".join([reason, "".join(traceback.format_exception(error))]))
        raise


def _train(paths: TrialPaths, number: int, stop: Path, threads: int) -> None:
    # Imported here so that a driver needs no torch to describe its trials.
    import torch

    from raysearch.train import open_training_data, train
    from raysearch.train.result import read_metrics

    torch.set_num_threads(threads)
    training = TrainingConfig.model_validate(read_yaml(paths.config))
    reporter = TuneReporter(training.objective, training.trial.total_epochs, stop)
    # A GPU is kept busy by the other CPUs of its trial; on CPUs the training itself wants them.
    loader_workers = threads - 1 if torch.cuda.is_available() else 0
    train(training, open_training_data(training), paths, reporter, number, loader_workers)
    if not reporter.has_reported:  # resumed after its last epoch: Tune must hear of the end once more
        reporter.report(read_metrics(paths)[-1])
