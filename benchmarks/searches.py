"""A search as its user starts it, and the same trainings without it: what the rows share that say what a search costs.

Much of that is waiting, so these rows count seconds on the clock, and what else runs on the machine is in the figures.

``python -m benchmarks.searches FOLDER...`` trains what the trials' folders say in their `config.yaml`, one after the
other in this process, into folders that it removes. Its last line is the `Taken` of each, as JSON lists.
"""

import itertools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, time
from typing import Any, NamedTuple

import optuna

from benchmarks.measure import HERE
from raysearch.config import TrainingConfig
from raysearch.io import read_yaml
from raysearch.paths import StudyPaths, TrialPaths
from raysearch.train.result import read_metrics
from raysearch.train.training_job import TrainingJob, run_training_job

SPACE = HERE.parent / "spaces" / "cr.yaml"
STUDY = "bench"
ALIKE = {  # what is left to be drawn does not change how long a trial takes
    "study": STUDY,
    "search.scheduler": "none",
    "search.first": "[]",
    "trial.backbone": "wrn_10_1",
    "trial.augment.policy": "autoaugment",
    "trial.augment.mixing": "both",
    "trial.optimizer.lr": "0.05",
}
NICENESS = 15
"""Of Ray's workers; the bare trainings' too, so that on a busy machine neither side is served first."""


class Taken(NamedTuple):
    """Seconds of a training."""

    whole: float
    in_epochs: float
    """From its first epoch's start to its last one's look, which is outside"""


@dataclass(frozen=True)
class Search:
    """A search that has ended, and its times, in seconds since 1970."""

    began: float
    """When the command was started"""
    ended: float
    """When its process was gone"""
    starts: list[float]
    """Of the trials, when they were drawn"""
    ends: list[float]
    """Of the trials, when the study was told"""
    folders: list[Path]
    """Of the trials"""

    @property
    def turns(self) -> list[Taken]:
        """From each trial's start to the next one's: of all but the last."""
        wholes = [later - earlier for earlier, later in itertools.pairwise(self.starts)]
        return [Taken(whole, in_epochs(folder)) for whole, folder in zip(wholes, self.folders, strict=False)]


def run_search(out: Path, trials: int, concurrency: int, epochs: int, eval_every: int) -> Search:
    """Run a search by its command, its study into ``out``; every trial trains with one thread.

    Raises `RuntimeError` where a trial did not end COMPLETE, and `subprocess.CalledProcessError` if the command fails.
    """
    settings = {**ALIKE, "trial.epochs": epochs, "trial.eval_every": eval_every}
    overrides = [word for path, value in settings.items() for word in ("--set", f"{path}={value}")]
    counts = ["--trials", str(trials), "--concurrency", str(concurrency)]
    command = [sys.executable, "-m", "raysearch.tune", str(SPACE), "--out", str(out), *counts, *overrides]
    began = time()
    subprocess.run(command, cwd=HERE.parent, stdout=subprocess.DEVNULL, check=True)
    return read_search(StudyPaths(out / STUDY), began, time())


def read_search(paths: StudyPaths, began: float, ended: float) -> Search:
    """The trials' times from the study's database."""
    study = optuna.load_study(study_name=STUDY, storage=f"sqlite:///{paths.database}")
    starts, ends = [], []
    for trial in study.get_trials(deepcopy=False):
        if trial.state.name != "COMPLETE" or trial.datetime_start is None or trial.datetime_complete is None:
            raise RuntimeError(f"trial {trial.number} of the search ended {trial.state.name}, not COMPLETE")
        starts.append(trial.datetime_start.timestamp())
        ends.append(trial.datetime_complete.timestamp())
    return Search(began, ended, starts, ends, [folder.root for _, folder in paths.trials()])


def in_epochs(folder: Path) -> float:
    """`Taken.in_epochs` of the training in a folder."""
    return read_metrics(TrialPaths(folder))[-1]["seconds"]


def train_bare(folders: Sequence[Path], processes: int = 1) -> list[Taken]:
    """Train what the trials did without a search, in so many new processes at once; in the order of ``folders``."""
    taken = [Taken(0.0, 0.0)] * len(folders)
    with ThreadPoolExecutor(processes) as pool:
        shares = pool.map(_in_new_process, [folders[first::processes] for first in range(processes)])
        for first, share in enumerate(shares):
            taken[first::processes] = share
    return taken


def _in_new_process(folders: Sequence[Path]) -> list[Taken]:
    command = [sys.executable, "-m", "benchmarks.searches", *map(str, folders)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}  # as Ray's workers have it
    done = subprocess.run(command, cwd=HERE.parent, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return [Taken(*seconds) for seconds in json.loads(done.stdout.splitlines()[-1])]


class _Silent:
    """Hears of a training and does nothing."""

    def report(self, metrics: Mapping[str, Any]) -> None:
        pass

    def should_stop(self) -> bool:
        return False


def bare_training(folder: Path) -> Taken:
    """Train what the trial of ``folder`` did, in this process, as a trial's actor calls it."""
    training = TrainingConfig.model_validate(read_yaml(TrialPaths(folder).config))
    with tempfile.TemporaryDirectory() as place:
        began = perf_counter()
        run_training_job(training, TrainingJob(Path(place), 0, Path(place, "stop"), threads=1), _Silent())
        return Taken(perf_counter() - began, in_epochs(Path(place)))


def load_average() -> str:
    """Of the last minute, for a row's note: what the clock shows depends on it."""
    return f"load average before: {os.getloadavg()[0]:.1f}"


def main() -> None:
    os.nice(NICENESS)
    print(json.dumps([bare_training(Path(folder)) for folder in sys.argv[1:]]))


if __name__ == "__main__":
    main()
