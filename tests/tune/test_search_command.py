"""A real search on Ray, as a user starts it, and what is refused."""

import os
import subprocess
import sys
from pathlib import Path

import optuna
import pytest
from in_process import tune
from optuna.trial import TrialState

from raysearch.io import read_json
from raysearch.paths import StudyPaths, TrialPaths
from raysearch.predictions import read_predictions
from raysearch.train.__main__ import command as train_command
from raysearch.tune.on_ray.cluster import SETTINGS

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


def words_of(folder: Path, *words: str) -> list[str]:
    return [str(folder / "toy.yaml"), "--out", str(folder / "runs"), *words]


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "raysearch.tune", *words_of(folder, *words)]
    # The command has to bring Ray's settings itself; here conftest.py has set them for the test's process.
    own = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    return subprocess.run(command, capture_output=True, text=True, timeout=300, env=own)


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
    again = tune(*words_of(folder))
    assert again.exit_code == 2
    assert again.stderr.count("\n") == 1
    assert "already holds a study; continue it with --resume" in again.stderr
    assert study.database.read_bytes() == before


def test_resuming_a_finished_study_trains_nothing(
    finished: subprocess.CompletedProcess[str], folder: Path, study: StudyPaths, shared_ray: str
) -> None:
    before = states(study)
    assert tune(*words_of(folder, "--resume")).exit_code == 0
    assert states(study) == before


def test_resuming_with_other_data_or_another_space_is_refused(
    finished: subprocess.CompletedProcess[str], folder: Path, shared_ray: str
) -> None:
    other = tune(*words_of(folder, "--resume", "--set", "data.seed=1"))
    assert other.exit_code == 2
    assert "was made with other data" in other.stderr
    longer = tune(*words_of(folder, "--resume", "--set", "trial.epochs=3"))
    assert longer.exit_code == 2
    assert "trial.epochs was 2 and is 3" in longer.stderr


def test_a_trial_s_config_trains_again_to_the_same_numbers(
    finished: subprocess.CompletedProcess[str], study: StudyPaths, tmp_path: Path
) -> None:
    train_command(str(study.trial(0).config), out=tmp_path / "again", threads=1)
    again = read_json(TrialPaths(tmp_path / "again").result)
    assert again["views"] == read_json(study.trial(0).result)["views"]


def test_a_command_that_is_refused_writes_one_line_and_ends_with_two(tmp_path: Path) -> None:
    (tmp_path / "toy.yaml").write_text(SPACE)
    refused = run(tmp_path, "--set", "trial.epohcs=3")
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
    assert "did you mean" in refused.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["toy.yaml"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--data", "no/such/folder"), "no such folder"),
        (("--set", "trial.backbone=wrn_16_44"), "did you mean 'wrn_16_4'"),
        (("--set", "trial.batch_size=1000"), "the train split has 50"),
        (("--resume",), "no study to resume"),
        (("--address", "127.0.0.1:1"), "nothing answers there"),
        (("--address", "somewhere"), "expected HOST:PORT or auto"),
        (("--address", "ray://127.0.0.1:1"), "does not run through Ray Client"),
        (("--trials", "+2"), "only with --resume"),
        (("--trials", "many"), "expected N or +N"),
    ],
)
def test_what_cannot_be_run_is_refused_before_anything_is_written(
    tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    assert message in refusal(tmp_path, *words)


def test_gpus_where_there_are_none_are_refused_with_what_to_set(tmp_path: Path, shared_ray: str) -> None:
    error = refusal(tmp_path, "--set", "resources.gpus_per_worker=1")
    assert "resources.gpus_per_worker" in error
    assert "0 GPUs are available" in error
    assert "resources.gpus_per_worker=0" in error


def refusal(folder: Path, *words: str) -> str:
    (folder / "toy.yaml").write_text(SPACE)
    refused = tune(*words_of(folder, *words))
    assert refused.exit_code == 2
    assert isinstance(refused.exception, SystemExit)
    assert [path.name for path in folder.iterdir()] == ["toy.yaml"]
    return refused.stderr
