"""A training inside a host's process: what the host says of it, and the way there from a clean process."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import torch

from raysearch.config import TrainingConfig
from raysearch.paths import TrialPaths
from raysearch.train.loop import train
from raysearch.train.process import reset_process
from raysearch.train.reporter import Reporter
from raysearch.train.result import read_metrics
from raysearch.train.stage import open_training_data


@dataclass(frozen=True)
class TrainingJob:
    """Where a training lies and what it has."""

    folder: Path
    """The trial's, ready with its `config.yaml`"""
    number: int
    """The trial's"""
    stop: Path
    """While this file stands, the training is to stop"""
    threads: int
    """CPU cores of each process"""

    @classmethod
    def from_plain(cls, values: Mapping[str, Any]) -> Self:
        """From `plain` values."""
        return cls(Path(values["folder"]), values["number"], Path(values["stop"]), values["threads"])

    @property
    def plain(self) -> dict[str, Any]:
        """Plain values, for a mapping that Ray carries."""
        return {name: str(value) if isinstance(value, Path) else value for name, value in asdict(self).items()}


class _Heard:
    """Remembers whether a reporter has heard anything."""

    def __init__(self, reporter: Reporter) -> None:
        self.reporter, self.has_heard = reporter, False

    def report(self, metrics: Mapping[str, Any]) -> None:
        self.has_heard = True
        self.reporter.report(metrics)

    def should_stop(self) -> bool:
        return self.reporter.should_stop()


def run_training_job(training: TrainingConfig, hosted: TrainingJob, reporter: Reporter) -> None:
    """Train, or go on, in this process; the reporter hears of the end even when nothing was left to do."""
    reset_process(hosted.threads)
    # A GPU is kept busy by the other CPUs of its process; on CPUs the training itself wants them.
    loader_workers = hosted.threads - 1 if torch.cuda.is_available() else 0
    paths, heard = TrialPaths(hosted.folder), _Heard(reporter)
    train(training, open_training_data(training), paths, heard, hosted.number, loader_workers)
    if not heard.has_heard:
        reporter.report(read_metrics(paths)[-1])
