"""Evaluation of one training's folder: which view, which networks, and what its errors say."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_study import DATA, digit_scans

from raysearch.config import TrainingConfig
from raysearch.errors import SetError, UserError
from raysearch.evaluate.__main__ import command
from raysearch.io import read_json, write_json
from raysearch.models import infer
from raysearch.paths import StudyPaths, TrialPaths, view_parts
from raysearch.predict.inputs import open_split
from raysearch.predict.training import load_training, load_weights
from raysearch.train.loop import train
from raysearch.train.out_of_fold import write_joint_result
from raysearch.train.stage import open_training_data

FOLDS = 2


@pytest.fixture
def evaluate(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[str, dict[str, Any]]]:
    """Runs the command; returns the line about the view, and the last line."""

    def run(folder: Path, split: str = "test", **options: Any) -> tuple[str, dict[str, Any]]:
        command(folder, "digits", split, **options)
        lines = capsys.readouterr().out.splitlines()
        return lines[0], json.loads(lines[-1])

    return run


@pytest.fixture
def trial(small_study: StudyPaths, tmp_path: Path) -> TrialPaths:
    """A copy of trial 0, in a copy of its study."""
    return StudyPaths(shutil.copytree(small_study.root, tmp_path / "it's a [study]")).trial(0)


@pytest.fixture(scope="module")
def folded(tmp_path_factory: pytest.TempPathFactory) -> TrialPaths:
    """A trial of two folds, an epoch each."""
    torch.set_num_threads(1)
    paths = StudyPaths(tmp_path_factory.mktemp("folded") / "study").trial(4)
    settings = {"backbone": "wrn_10_1", "epochs": 1, "batch_size": 20, "precision": "float32", "image_size": 8}

    class Silent:
        def report(self, metrics: object) -> None:
            pass

        def should_stop(self) -> bool:
            return False

    for fold in range(FOLDS):
        config = TrainingConfig.model_validate(
            {
                "data": {**DATA, "folds": FOLDS, "fold": fold},
                "objective": "log_loss",
                "trial": {**settings, "augment": {"policy": "none", "crop": "none"}},
            }
        )
        train(config, open_training_data(config), paths.fold(fold), Silent(), 4)
    write_joint_result(paths, paths.trainings, 4, "COMPLETE", "log_loss", 1, "wrn_10_1", {})
    return paths


def drop(trial: TrialPaths, role: str) -> None:
    """As `search.checkpoints_gb` does."""
    write_json(trial.result, {**read_json(trial.result), "dropped": [role]})
    for training in trial.trainings:
        training.weights(role).unlink()


@pytest.mark.parametrize("view", ["student-final", "teacher-fused"])
def test_held_out_figures_of_a_view_are_those_that_the_training_stored(
    small_study: StudyPaths, evaluate: Callable[..., Any], view: str
) -> None:
    trial = small_study.trial(0)
    line, figures = evaluate(trial.root, "val", view=view)
    stored = read_json(trial.result)["views"][view]
    assert f"view {view} (as requested)" in line
    for name in ("accuracy", "balanced_accuracy", "log_loss"):
        assert figures[name] == pytest.approx(stored[name], abs=1e-5)
        assert figures[f"{name}_low"] <= figures[name] <= figures[f"{name}_high"]


def test_the_test_split_is_predicted_as_the_network_does(small_study: StudyPaths, evaluate: Callable[..., Any]) -> None:
    trial = small_study.trial(1)
    trained = load_training(trial.root)
    (size,) = trained.checkpoint_set.image_sizes
    split = open_split("digits", "test", [size], trained.checkpoint_set.manifest.data)
    config = TrainingConfig.model_validate(trained.checkpoint_set.members[0].config)
    network = load_weights(trial.weights(view_parts(trained.view).role), config, 10, size)
    probs = infer(network, split.dataset.splits["test"].images).final
    figures = evaluate(trial.root)[1]
    assert figures["accuracy"] == pytest.approx((probs.argmax(axis=1) == split.labels).mean(), abs=0.002)
    assert figures["n"] == len(split.labels) == len(digit_scans()) - 10 * (6 + 4)


@pytest.mark.parametrize(("objective", "best"), [("accuracy", "teacher-final"), ("log_loss", "student-final")])
def test_the_default_view_is_the_best_by_the_objective_of_the_training(
    trial: TrialPaths, evaluate: Callable[..., Any], objective: str, best: str
) -> None:
    result = read_json(trial.result)
    for view, figures in result["views"].items():
        figures |= {"accuracy": float(view == "teacher-final"), "log_loss": 2.0 - (view == "student-final")}
    write_json(trial.result, {**result, "objective": objective})
    line, _ = evaluate(trial.root)
    assert f"view {best} (best by held-out {objective.replace('_', ' ')}, 1.0000)" in line


def test_ten_crops_are_other_predictions(small_study: StudyPaths, evaluate: Callable[..., Any]) -> None:
    root = small_study.trial(0).root
    assert evaluate(root, tta="tencrop")[1]["log_loss"] != evaluate(root)[1]["log_loss"]


def test_a_trial_with_folds_is_the_mean_of_its_networks(folded: TrialPaths, evaluate: Callable[..., Any]) -> None:
    line, figures = evaluate(folded.root, view="student-final")
    assert line.endswith("view student-final (as requested), mean of 2 networks, one per fold")
    trained = load_training(folded.root, "student-final").checkpoint_set
    split = open_split("digits", "test", [8], trained.manifest.data)
    images = split.dataset.splits["test"].images
    config = TrainingConfig.model_validate(trained.members[0].config)
    mean = np.mean(
        [infer(load_weights(f.weights("student"), config, 10, 8), images).final for f in folded.trainings], axis=0
    )
    losses = -np.log(mean[np.arange(len(mean)), split.labels])
    assert figures["log_loss"] == pytest.approx(losses.mean(), abs=1e-4)


def test_a_set_has_its_own_views(small_set: Path, evaluate: Callable[..., Any]) -> None:
    with pytest.raises(UserError, match="--view: only for the folder of a training"):
        evaluate(small_set, view="student-final")


def test_a_folder_that_is_neither_is_refused_with_what_to_give(
    small_study: StudyPaths, tmp_path: Path, evaluate: Callable[..., Any]
) -> None:
    with pytest.raises(
        SetError, match="neither a checkpoint set nor a training; give a folder that `raysearch export`"
    ):
        evaluate(tmp_path)
    with pytest.raises(SetError, match="this is a study; create a set from it with `raysearch export`"):
        evaluate(small_study.root)
    with pytest.raises(SetError, match="no such folder"):
        evaluate(tmp_path / "missing")


def test_an_unknown_view_suggests_a_stored_one(trial: TrialPaths, evaluate: Callable[..., Any]) -> None:
    with pytest.raises(SetError, match="--view student-finale: not stored; did you mean 'student-final'"):
        evaluate(trial.root, view="student-finale")


def test_a_failed_or_unfinished_training_cannot_be_scored(trial: TrialPaths, evaluate: Callable[..., Any]) -> None:
    write_json(trial.result, {**read_json(trial.result), "state": "FAIL", "reason": "the loss is not finite"})
    with pytest.raises(SetError, match="failed and cannot be scored: the loss is not finite"):
        evaluate(trial.root)
    trial.result.unlink()
    with pytest.raises(SetError, match="has not finished"):
        evaluate(trial.root)


def test_dropped_weights_name_the_command_that_trains_them_again(
    trial: TrialPaths, evaluate: Callable[..., Any]
) -> None:
    drop(trial, "teacher")
    with pytest.raises(SetError) as caught:
        evaluate(trial.root, view="teacher-final")
    text = str(caught.value)
    assert "teacher.safetensors: dropped to keep within search.checkpoints_gb, but needed for teacher-final" in text
    assert "`raysearch train '" in text
    assert "0000-again' --threads 1`, then score" in text
    assert "--view student-final" in text


def test_dropped_weights_of_folds_are_trained_and_copied_one_by_one(
    folded: TrialPaths, tmp_path: Path, evaluate: Callable[..., Any]
) -> None:
    copy = TrialPaths(shutil.copytree(folded.root, tmp_path / "0004"))
    drop(copy, "student")
    with pytest.raises(SetError) as caught:
        evaluate(copy.root, view="student-final")
    text = str(caught.value)
    assert text.count("`raysearch train ") == text.count("`cp ") == FOLDS
    assert "folds/1/config.yaml" in text


def test_weights_that_did_not_make_the_stored_predictions_are_refused(
    trial: TrialPaths, evaluate: Callable[..., Any]
) -> None:
    shutil.copy(trial.weights("student"), trial.weights("teacher"))
    with pytest.raises(SetError, match="not the weights that made the stored predictions of teacher-final"):
        evaluate(trial.root, view="teacher-final")
    trial.weights("student").unlink()
    with pytest.raises(SetError, match=r"student\.safetensors: no such file, but needed for student-final"):
        evaluate(trial.root, view="student-final")
