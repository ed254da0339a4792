"""The whole command with two processes a trial, one of them killed; `test_several_workers.py` runs in one process."""

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any

import optuna
import psutil
import pytest
from optuna.trial import TrialState

from raysearch.io import read_json
from raysearch.paths import StudyPaths

pytestmark = [pytest.mark.slow, pytest.mark.extra]

EPOCHS = 8
SPACE = """
study: pairs
data: {source: digits, train_per_class: 12, held_out_per_class: 5}
resources: {workers: 2}
search:
  trials: 3
  objective: log_loss
  scheduler: asha
  grace: 0.5
  max_failures: 1
  first:
    - {optimizer: {lr: 0.05}}
    - {optimizer: {lr: 1.0e+30}}
    - {optimizer: {lr: 1.0e-9}}
trial:
  backbone: wrn_10_1
  image_size: 16
  epochs: 8
  batch_size: 20
  augment: {policy: basic, mixing: both, erasing: 0.2, cutout: 0.2, stubborn: {probability: 0.5, update_every: 2}}
  method: {alpha: 0.1, beta: 0.5, contrast: features, gather: true, gamma: 1.0, ema_decay: 0.9, aux_weight: 0.4}
  optimizer: {name: sgd, lr: {loguniform: [0.01, 0.1]}, warmup_epochs: 0}
"""


@dataclass(frozen=True)
class Done:
    """The search, one of whose workers was killed while it trained the first trial."""

    paths: StudyPaths
    stdout: str
    lines_before: list[str]
    """Of the trial whose worker was killed, just before"""
    restarted_s: float
    """Seconds from the kill to the next line"""

    @property
    def trials(self) -> list[optuna.trial.FrozenTrial]:
        return optuna.load_study(study_name="pairs", storage=f"sqlite:///{self.paths.database}").trials


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    folder = tmp_path_factory.mktemp("pairs of workers")
    (folder / "pairs.yaml").write_text(SPACE)
    paths = StudyPaths(folder / "pairs")
    command = [sys.executable, "-m", "raysearch.tune", str(folder / "pairs.yaml"), "--out", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as driver:
        metrics = paths.trial(0).metrics
        wait_for(lambda: metrics.is_file() and len(metrics.read_text().splitlines()) >= 2, 240)
        (worker, *_) = [p for p in psutil.Process(driver.pid).children(recursive=True) if "RayTrainWorker" in title(p)]
        before = metrics.read_text().splitlines()
        worker.kill()
        killed = time.monotonic()
        # It goes on from the last checkpoint: the file is first cut back to it.
        wait_for(lambda: len(metrics.read_text().splitlines()) > len(before), 240)
        restarted_s = time.monotonic() - killed
        stdout, _ = driver.communicate(timeout=400)
    assert driver.returncode == 0, stdout
    return Done(paths, stdout, before, restarted_s)


def test_the_counts_are_exact_and_asha_stops_the_weak(done: Done) -> None:
    states = [trial.state for trial in done.trials]
    assert states[:3] == [TrialState.COMPLETE, TrialState.FAIL, TrialState.PRUNED]
    assert sum(state in (TrialState.COMPLETE, TrialState.PRUNED) for state in states) == 3
    stopped = read_json(done.paths.trial(2).result)
    assert stopped["reason"] == "stopped by the scheduler"
    assert stopped["epochs_done"] == EPOCHS // 2
    assert sorted(done.trials[2].intermediate_values) == [1, 2, 3, 4]


def test_a_killed_worker_costs_an_epoch_at_most(done: Done) -> None:
    lines = done.paths.trial(0).metrics.read_text().splitlines()
    assert lines[: len(done.lines_before) - 1] == done.lines_before[:-1]
    assert [json.loads(line)["epoch"] for line in lines] == list(range(1, EPOCHS + 1))
    assert done.restarted_s < 120


def test_what_ray_train_needed_is_gone(done: Done) -> None:
    assert not done.paths.trial(0).ray.exists()


def title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def wait_for(condition: Any, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
