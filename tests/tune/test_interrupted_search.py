"""Real searches that are killed, stopped by Ctrl-C or at their time limit; and a second one on the same study."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
from click.testing import Result
from in_process import tune, wait_for
from PIL import Image

from raysearch.io import read_json, read_yaml
from raysearch.paths import StudyPaths
from raysearch.predictions import read_predictions
from raysearch.tune import stopping

SPACE = """
study: toy
data: {source: digits, train_per_class: 5, held_out_per_class: 5}
search: {trials: 3, scheduler: none}
trial:
  backbone: wrn_10_1
  image_size: 16
  epochs: 100000
  batch_size: 20
  augment: {policy: none, hflip: 0, crop_padding: 2}
  optimizer: {name: sgd, lr: {loguniform: [0.01, 0.1]}}
"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("a search with spaces'")
    (folder / "toy.yaml").write_text(SPACE)
    return folder


def words_of(folder: Path, *words: str) -> list[str]:
    return [str(folder / "toy.yaml"), "--out", str(folder / "runs"), *words]


@dataclass(frozen=True)
class Interrupted:
    """A search whose driver was killed, then its Ray node, and which was stopped by Ctrl-C at last."""

    paths: StudyPaths
    first_driver: int
    second_search: Result
    """Of the same study, while the first driver ran"""
    lines_before: list[list[str]]
    """Of `metrics.jsonl`, at each kill"""
    returncodes: list[int]
    outputs: list[str]
    """Stdout and stderr of each driver"""


@pytest.fixture(scope="module")
def interrupted(folder: Path, shared_ray: str) -> Interrupted:
    paths = StudyPaths(folder / "runs" / "toy")
    trial, words = paths.trial(0), words_of(folder, "--concurrency", "1")
    drivers: list[subprocess.Popen[str]] = []
    before: list[list[str]] = []
    outputs: list[str] = []

    def start(*more: str) -> psutil.Process:
        command = [sys.executable, "-m", "raysearch.tune", *words, *more]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        drivers.append(subprocess.Popen(command, text=True, start_new_session=True, **pipes))
        return psutil.Process(drivers[-1].pid)

    def lines() -> list[str]:
        return trial.metrics.read_text().splitlines()

    def finish() -> None:
        outputs.append(drivers[-1].communicate(timeout=120)[0])

    try:
        first = start()
        wait_for(trial.resume.exists)
        second_search = tune(*words, "--resume")
        before.append(lines())
        first.kill()
        finish()
        second = start("--resume")
        wait_for(lambda: len(lines()) > len(before[0]) + 3)
        (node,) = (child for child in second.children() if child.name() == "raylet")
        before.append(lines())
        node.kill()
        finish()
        third = start("--resume")
        wait_for(lambda: len(lines()) > len(before[1]) + 3)
        os.killpg(third.pid, signal.SIGINT)  # a terminal sends it to the whole group
        finish()
    finally:
        for driver in drivers:
            driver.kill()
    return Interrupted(paths, first.pid, second_search, before, [driver.wait() for driver in drivers], outputs)


def test_a_study_that_a_driver_runs_is_refused_with_its_process_and_host(interrupted: Interrupted) -> None:
    assert interrupted.second_search.exit_code == 2
    (error,) = interrupted.second_search.stderr.splitlines()
    assert f"a search is running on it (process {interrupted.first_driver} on {socket.gethostname()})" in error


def test_a_killed_driver_s_or_node_s_trial_goes_on_from_its_checkpoint(interrupted: Interrupted) -> None:
    assert ["resumes after epoch" in output for output in interrupted.outputs] == [False, True, True]
    ((number, trial),) = interrupted.paths.trials()
    assert number == 0
    lines = trial.metrics.read_text().splitlines()
    for before in interrupted.lines_before:
        assert len(before) >= 1
        # The last line may be of an epoch whose checkpoint was not written yet.
        assert lines[: len(before) - 1] == before[:-1]
    assert [json.loads(line)["epoch"] for line in lines] == list(range(1, len(lines) + 1))


def test_a_driver_whose_node_is_killed_says_so_and_ends(interrupted: Interrupted) -> None:
    assert interrupted.returncodes == [-signal.SIGKILL, 2, 0]
    assert "Ray on this machine died" in interrupted.outputs[1]
    assert "--resume" in interrupted.outputs[1]


def test_ctrl_c_stops_trials_after_their_batch(interrupted: Interrupted) -> None:
    assert "stopped by SIGINT: running trials end after their batch" in interrupted.outputs[2]
    assert read_json(interrupted.paths.trial(0).result)["state"] == "PRUNED"
    assert read_yaml(interrupted.paths.study)["study"] == "toy"


@dataclass(frozen=True)
class Limited:
    """A search of the folder `my photos`, given as such, that came to its time limit."""

    paths: StudyPaths
    limits: list[float]
    """Seconds that were left"""
    result: Result


@pytest.fixture(scope="module")
def limited(folder: Path, shared_ray: str) -> Limited:
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        for name in ("cat", "dog"):
            (folder / "my photos" / split / name).mkdir(parents=True)
            for index in range(4):
                pixels = rng.integers(0, 255, (16, 16, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / "my photos" / split / name / f"{index}.png")
    paths = StudyPaths(folder / "runs" / "limited")
    limits = []

    class WhenTraining(threading.Timer):
        """Ends when the trial has a checkpoint instead of after its seconds."""

        def run(self) -> None:
            limits.append(self.interval)
            wait_for(paths.trial(0).resume.exists)
            self.function(*self.args)

    sets = ("study=limited", "trial.batch_size=4", "data.train_per_class=null", "data.held_out_per_class=null")
    words = words_of(folder, "--data", "my photos", "--concurrency", "1", "--timeout-s", "3600")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)  # the trial runs elsewhere: Ray was started before
        patch.setattr(stopping, "threading", SimpleNamespace(Timer=WhenTraining, Thread=threading.Thread))
        result = tune(*words, *(word for set_ in sets for word in ("--set", set_)))
    return Limited(paths, limits, result)


def test_the_time_limit_stops_trials_which_still_leave_predictions(limited: Limited) -> None:
    assert limited.result.exit_code == 0, limited.result.stderr
    assert [3000 < left < 3600 for left in limited.limits] == [True]
    assert "1 of 3 trials ended. To continue: " in limited.result.stdout
    assert "--resume" in limited.result.stdout
    assert not limited.paths.stop.exists()
    ((number, trial),) = limited.paths.trials()
    assert (number, read_json(trial.result)["state"]) == (0, "PRUNED")
    assert len(read_predictions(trial.predictions("student-final")).labels) == 8


def test_a_relative_source_means_the_same_in_a_trial(limited: Limited, folder: Path) -> None:
    assert read_yaml(limited.paths.trial(0).config)["data"]["source"] == str(folder / "my photos")
    assert read_json(limited.paths.trial(0).result)["epochs_done"] >= 1
