"""Runs a search as a user would, and the same trainings without the search. Shared by the rows on search overhead.

Much of the overhead is waiting, so these rows measure wall-clock time, which other processes on the machine affect.

``python -m benchmarks.searches FOLDER...`` repeats the trainings in the `config.yaml` of the given trial folders, one
by one in this process, and deletes the results. Its last line has the `Taken` of each as JSON lists.
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
ALIKE = {  # the parameters that are still sampled do not change the duration of a trial
    "study": STUDY,
    "search.scheduler": "none",
    "search.first": "[]",
    "trial.backbone": "wrn_10_1",
    "trial.augment.policy": "autoaugment",
    "trial.augment.mixing": "both",
    "trial.optimizer.lr": "0.05",
}
NICENESS = 15
"""Niceness of Ray's workers. The bare trainings use it, too, so that a busy machine does not favour one side."""


class Taken(NamedTuple):
    """Duration of a training, in seconds."""

    whole: float
    in_epochs: float
    """From the start of the first epoch to the last evaluation, which is not included"""


@dataclass(frozen=True)
class Search:
    """A finished search with its times, in seconds since 1970."""

    began: float
    """Start of the command"""
    ended: float
    """End of its process"""
    starts: list[float]
    """By trial: when its parameters were sampled"""
    ends: list[float]
    """By trial: when the study recorded its end"""
    folders: list[Path]
    """Folders of the trials"""

    @property
    def turns(self) -> list[Taken]:
        """By trial, without the last: the time from its start to the start of the next trial."""
        wholes = [later - earlier for earlier, later in itertools.pairwise(self.starts)]
        return [Taken(whole, in_epochs(folder)) for whole, folder in zip(wholes, self.folders, strict=False)]


def run_search(out: Path, trials: int, concurrency: int, epochs: int, eval_every: int) -> Search:
    """Run the search command with one thread per trial; the study is written to ``out``.

    Raises `RuntimeError` if a trial does not end COMPLETE, and `subprocess.CalledProcessError` if the command fails.
    """
    settings = {**ALIKE, "trial.epochs": epochs, "trial.eval_every": eval_every}
    overrides = [word for path, value in settings.items() for word in ("--set", f"{path}={value}")]
    counts = ["--trials", str(trials), "--concurrency", str(concurrency)]
    command = [sys.executable, "-m", "raysearch.tune", str(SPACE), "--out", str(out), *counts, *overrides]
    began = time()
    subprocess.run(command, cwd=HERE.parent, stdout=subprocess.DEVNULL, check=True)
    return read_search(StudyPaths(out / STUDY), began, time())


def read_search(paths: StudyPaths, began: float, ended: float) -> Search:
    """Read the times of the trials from the study's database."""
    study = optuna.load_study(study_name=STUDY, storage=f"sqlite:///{paths.database}")
    starts, ends = [], []
    for trial in study.get_trials(deepcopy=False):
        if trial.state.name != "COMPLETE" or trial.datetime_start is None or trial.datetime_complete is None:
            raise RuntimeError(f"trial {trial.number} of the search ended {trial.state.name}, not COMPLETE")
        starts.append(trial.datetime_start.timestamp())
        ends.append(trial.datetime_complete.timestamp())
    return Search(began, ended, starts, ends, [folder.root for _, folder in paths.trials()])


def in_epochs(folder: Path) -> float:
    """Return `Taken.in_epochs` of the training in ``folder``."""
    return read_metrics(TrialPaths(folder))[-1]["seconds"]


def train_bare(folders: Sequence[Path], processes: int = 1) -> list[Taken]:
    """Repeat the trainings of trials without a search, in ``processes`` new processes. Results follow ``folders``."""
    taken = [Taken(0.0, 0.0)] * len(folders)
    with ThreadPoolExecutor(processes) as pool:
        shares = pool.map(_in_new_process, [folders[first::processes] for first in range(processes)])
        for first, share in enumerate(shares):
            taken[first::processes] = share
    return taken


def _in_new_process(folders: Sequence[Path]) -> list[Taken]:
    command = [sys.executable, "-m", "benchmarks.searches", *map(str, folders)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}  # the same limit as in Ray's workers
    done = subprocess.run(command, cwd=HERE.parent, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return [Taken(*seconds) for seconds in json.loads(done.stdout.splitlines()[-1])]


class _Silent:
    """A reporter that ignores everything."""

    def report(self, metrics: Mapping[str, Any]) -> None:
        pass

    def should_stop(self) -> bool:
        return False


def bare_training(folder: Path) -> Taken:
    """Repeat the training of the trial in ``folder`` in this process, with the function that a trial's actor calls."""
    training = TrainingConfig.model_validate(read_yaml(TrialPaths(folder).config))
    with tempfile.TemporaryDirectory() as place:
        began = perf_counter()
        run_training_job(training, TrainingJob(Path(place), 0, Path(place, "stop"), threads=1), _Silent())
        return Taken(perf_counter() - began, in_epochs(Path(place)))


def load_average() -> str:
    """Load average of the last minute, for a row's note: wall-clock time depends on it."""
    return f"load average before: {os.getloadavg()[0]:.1f}"


def main() -> None:
    os.nice(NICENESS)
    print(json.dumps([bare_training(Path(folder)) for folder in sys.argv[1:]]))


if __name__ == "__main__":
    main()
