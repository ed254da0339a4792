"""A training that runs in a Ray process: its description, and the function that runs it from a clean state."""

import time
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
    """The folder, trial and resources of a training."""

    folder: Path
    """The trial's folder, which must contain `config.yaml`"""
    number: int
    """The trial's number"""
    stop: Path
    """The training stops while this file exists"""
    threads: int
    """CPU threads of each process"""
    share_s: float | None = None
    """Share of the time of a search that a training with a time limit may take, in seconds; None: no other limit"""
    ends_at: float | None = None
    """When it must have ended in any case, in seconds since the epoch"""

    @classmethod
    def from_plain(cls, values: Mapping[str, Any]) -> Self:
        """Make a job from its `plain` values."""
        paths = {"folder": Path(values["folder"]), "stop": Path(values["stop"])}
        return cls(**{**values, **paths})

    @property
    def plain(self) -> dict[str, Any]:
        """The fields as plain values, which Ray can pass between processes."""
        return {name: str(value) if isinstance(value, Path) else value for name, value in asdict(self).items()}


class _RecordingReporter:
    """Passes reports on, and records whether there was one."""

    def __init__(self, reporter: Reporter) -> None:
        self.reporter, self.has_reported = reporter, False

    def report(self, metrics: Mapping[str, Any]) -> None:
        self.has_reported = True
        self.reporter.report(metrics)

    def should_stop(self) -> bool:
        return self.reporter.should_stop()


def run_training_job(training: TrainingConfig, job: TrainingJob, reporter: Reporter) -> None:
    """Train, or resume, in this process. If no epoch was left to train, the last line of the metrics is reported."""
    reset_process(job.threads)
    # With a GPU, the other CPU cores prepare batches. Without one, the training itself uses all cores.
    loader_workers = job.threads - 1 if torch.cuda.is_available() else 0
    paths, recorder = TrialPaths(job.folder), _RecordingReporter(reporter)
    train(training, open_training_data(training), paths, recorder, job.number, loader_workers, _find_share(job))
    if not recorder.has_reported:
        reporter.report(read_metrics(paths)[-1])


def _find_share(job: TrainingJob) -> float | None:
    """Seconds from now that the training may take; None if the job has no limit."""
    left_s = None if job.ends_at is None else job.ends_at - time.time()
    return min((limit for limit in (job.share_s, left_s) if limit is not None), default=None)
