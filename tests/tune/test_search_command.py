"""Real searches on Ray, as a user starts them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState
from PIL import Image

from raysearch.io import read_json, read_yaml
from raysearch.paths import StudyPaths
from raysearch.predictions import read_predictions

SPACE = """
study: toy
data: {source: digits, train_per_class: 5, held_out_per_class: 5}
resources: {concurrency: 2}
search:
  trials: 3
  scheduler: none
  first:
    - {optimizer: {lr: 0.05}}
    - {optimizer: {lr: 1.0e+30}}
trial:
  backbone: wrn_10_1
  image_size: 16
  epochs: 2
  batch_size: 20
  augment: {policy: none, hflip: 0}
  method: {alpha: {loguniform: [0.01, 1.0]}}
  optimizer: {name: sgd, lr: {loguniform: [0.01, 0.1]}}
"""

pytestmark = pytest.mark.slow


def command(folder: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "raysearch.tune", str(folder / "toy.yaml"), "--out", str(folder / "runs"), *words]


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(folder, *words), capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("a search with spaces'")
    (folder / "toy.yaml").write_text(SPACE)
    return folder


@pytest.fixture(scope="module")
def finished(folder: Path) -> subprocess.CompletedProcess[str]:
    """A whole search, one of whose trials diverges."""
    return run(folder)


@pytest.fixture
def study(folder: Path) -> StudyPaths:
    return StudyPaths(folder / "runs" / "toy")


def states(paths: StudyPaths) -> list[TrialState]:
    return [t.state for t in optuna.load_study(study_name="toy", storage=f"sqlite:///{paths.database}").trials]


def test_a_search_leaves_the_trials_it_was_asked_for(
    finished: subprocess.CompletedProcess[str], study: StudyPaths
) -> None:
    assert finished.returncode == 0, finished.stderr
    assert finished.stderr == "", "Ray and Optuna are silent"
    assert states(study).count(TrialState.COMPLETE) == 3
    for number, folder in study.trials():
        result = read_json(folder.result)
        assert result["trial_number"] == number
        if result["state"] == "COMPLETE":
            for view, figures in result["views"].items():
                predictions = read_predictions(folder.predictions(view))
                accuracy = (predictions.probs.argmax(1) == predictions.labels).mean()
                assert accuracy == pytest.approx(figures["accuracy"])


def test_a_diverging_trial_fails_with_its_reason_and_the_study_goes_on(
    finished: subprocess.CompletedProcess[str], study: StudyPaths
) -> None:
    assert states(study).count(TrialState.FAIL) == 1
    result = read_json(study.trial(1).result)
    assert result["state"] == "FAIL"
    assert "not finite in epoch" in result["reason"]
    assert "FAIL" in finished.stdout


def test_a_study_in_the_way_is_refused_and_left_alone(
    finished: subprocess.CompletedProcess[str], folder: Path, study: StudyPaths
) -> None:
    before = study.database.read_bytes()
    again = run(folder)
    assert again.returncode == 2
    assert again.stderr.count("\n") == 1
    assert "already holds a study; go on with it by --resume" in again.stderr
    assert study.database.read_bytes() == before


def test_resuming_a_finished_study_trains_nothing(
    finished: subprocess.CompletedProcess[str], folder: Path, study: StudyPaths
) -> None:
    before = states(study)
    assert run(folder, "--resume").returncode == 0
    assert states(study) == before


def test_resuming_with_other_data_or_another_space_is_refused(
    finished: subprocess.CompletedProcess[str], folder: Path
) -> None:
    other = run(folder, "--resume", "--set", "data.seed=1")
    assert other.returncode == 2
    assert "was made with other data" in other.stderr
    longer = run(folder, "--resume", "--set", "trial.epochs=3")
    assert longer.returncode == 2
    assert "trial.epochs was 2 and is 3" in longer.stderr


def test_a_trial_s_config_trains_again_to_the_same_numbers(
    finished: subprocess.CompletedProcess[str], study: StudyPaths, tmp_path: Path
) -> None:
    words = ["-m", "raysearch.train", str(study.trial(0).config), "--out", str(tmp_path / "again"), "--threads", "1"]
    again = subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=120)
    assert again.returncode == 0, again.stderr
    assert read_json(tmp_path / "again" / "result.json")["views"] == read_json(study.trial(0).result)["views"]


def test_a_relative_source_means_the_same_in_a_trial(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        for name in ("cat", "dog"):
            (folder / "my photos" / split / name).mkdir(parents=True)
            for index in range(4):
                pixels = rng.integers(0, 255, (16, 16, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / "my photos" / split / name / f"{index}.png")
    words = ("--data", "my photos", "--set", "study=relative", "--set", "trial.batch_size=4", "--trials", "1")
    nulls = ("--set", "data.train_per_class=null", "--set", "data.held_out_per_class=null")
    done = subprocess.run(command(folder, *words, *nulls), cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    paths = StudyPaths(folder / "runs" / "relative")
    assert read_json(paths.trial(0).result)["state"] == "COMPLETE"
    assert read_yaml(paths.trial(0).config)["data"]["source"] == str(folder / "my photos")


def test_the_time_limit_stops_trials_which_still_leave_predictions(folder: Path) -> None:
    began = time.monotonic()
    words = ("--set", "study=limited", "--set", "trial.epochs=100000", "--set", "search.first=[]", "--timeout-s", "45")
    limited = run(folder, *words)
    assert limited.returncode == 0, limited.stderr
    assert time.monotonic() - began < 100
    assert "2 of 3 trials ended. Go on: " in limited.stdout
    assert "--resume" in limited.stdout
    paths = StudyPaths(folder / "runs" / "limited")
    assert not paths.stop.exists()
    results = [read_json(trial.result) for _, trial in paths.trials()]
    assert [result["state"] for result in results] == ["PRUNED", "PRUNED"]
    for _, trial in paths.trials():
        assert len(read_predictions(trial.predictions("student-final")).labels) == 50


def test_a_killed_driver_s_trials_go_on_from_their_checkpoints(folder: Path) -> None:
    words = ("--set", "study=killed", "--set", "trial.epochs=60", "--set", "search.first=[]", "--trials", "2")
    paths = StudyPaths(folder / "runs" / "killed")
    driver = subprocess.Popen(command(folder, *words), stdout=subprocess.DEVNULL, start_new_session=True)
    wait_for(lambda: all(paths.trial(n).resume.exists() for n in (0, 1)), 120)
    driver.kill()
    driver.wait()
    done = {n: len(paths.trial(n).metrics.read_text().splitlines()) for n in (0, 1)}
    resumed = run(folder, *words, "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert resumed.stdout.count("goes on after epoch") == 2
    results = [read_json(paths.trial(n).result) for n in (0, 1)]
    assert [result["state"] for result in results] == ["COMPLETE", "COMPLETE"]
    for n in (0, 1):
        assert done[n] >= 1
        assert len(paths.trial(n).metrics.read_text().splitlines()) == 60
    assert len(list(paths.trials())) == 2


def test_ctrl_c_stops_trials_after_their_batch(folder: Path) -> None:
    words = ("--set", "study=interrupted", "--set", "trial.epochs=100000", "--set", "search.first=[]")
    paths = StudyPaths(folder / "runs" / "interrupted")
    driver = subprocess.Popen(command(folder, *words), stdout=subprocess.PIPE, text=True, start_new_session=True)
    wait_for(lambda: all(paths.trial(n).resume.exists() for n in (0, 1)), 120)
    os.killpg(driver.pid, signal.SIGINT)  # a terminal sends it to the whole group
    output, _ = driver.communicate(timeout=60)
    assert driver.returncode == 0
    assert "stopped by SIGINT: running trials end after their batch" in output
    assert [read_json(trial.result)["state"] for _, trial in paths.trials()] == ["PRUNED", "PRUNED"]
    assert read_yaml(paths.study)["study"] == "interrupted"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--data", "no/such/folder"), "no such folder"),
        (("--set", "trial.epohcs=3"), "did you mean"),
        (("--set", "trial.backbone=wrn_16_44"), "did you mean 'wrn_16_4'"),
        (("--set", "trial.batch_size=1000"), "the train split has 50"),
        (("--set", "resources.gpus_per_worker=1"), "the cluster has 0 GPUs"),
        (("--resume",), "no such folder"),
        (("--address", "127.0.0.1:1"), "nothing answers there"),
        (("--address", "somewhere"), "HOST:PORT or auto must be given"),
        (("--address", "ray://127.0.0.1:1"), "does not run through Ray Client"),
        (("--trials", "+2"), "only with --resume"),
        (("--trials", "many"), "N or +N must be given"),
    ],
)
def test_what_cannot_be_run_is_refused_before_anything_is_written(
    tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    (tmp_path / "toy.yaml").write_text(SPACE)
    refused = run(tmp_path, *words)
    assert refused.returncode == 2
    assert message in refused.stderr
    assert "Traceback" not in refused.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["toy.yaml"]


def wait_for(condition: object, timeout_s: float) -> None:
    assert callable(condition)
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)
