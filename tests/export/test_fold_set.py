"""Export of a study with folds: a member has one network per fold."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_study import DATA, checking_in_this_process, write_members, write_small_study_file

from raysearch.config import TrainingConfig
from raysearch.data.dataset import Dataset, open_dataset
from raysearch.ensemble.build import build_ensemble
from raysearch.ensemble.recipe import Recipe
from raysearch.errors import SetError
from raysearch.export.write import export_set
from raysearch.io import read_json, sha256, write_json, write_yaml
from raysearch.paths import StudyPaths
from raysearch.predict.checkpoint_set import CheckpointSet, load_set
from raysearch.predictions import joint_sha256, read_predictions, write_predictions
from raysearch.train.loop import train
from raysearch.train.out_of_fold import write_joint_result
from raysearch.train.stage import open_training_data

pytestmark = pytest.mark.usefixtures("check_in_this_process")

FOLDS = 2
FOLDED = {**DATA, "folds": FOLDS}
TRIALS: tuple[dict[str, Any], ...] = ({"image_size": 16, "seed": 0}, {"image_size": 8, "seed": 1})
MIXED = ((0, "student-fused", 0.5), (0, "teacher-final", 0.25), (1, "student-final", 0.25))


class Silent:
    def report(self, metrics: object) -> None:
        pass

    def should_stop(self) -> bool:
        return False


@pytest.fixture(scope="module")
def folded(tmp_path_factory: pytest.TempPathFactory) -> StudyPaths:
    """Two trials of two folds, an epoch each, with their out-of-fold predictions."""
    torch.set_num_threads(1)
    study = StudyPaths(tmp_path_factory.mktemp("folded") / "it's a [study]")
    for number, trial in enumerate(TRIALS):
        for fold in range(FOLDS):
            config = training(trial, fold)
            dataset = open_training_data(config)
            train(config, dataset, study.trial(number).fold(fold), Silent(), number)
        write_yaml(study.trial(number).config, training(trial, None).model_dump(mode="json"))
        trial_paths = study.trial(number)
        write_joint_result(
            trial_paths, trial_paths.trainings, number, "COMPLETE", "accuracy", 1, config.trial.backbone, {}
        )
    write_small_study_file(study, FOLDED, dataset)
    ensemble = build_ensemble(study, Recipe(rounds=5, repeats=1, bootstrap=10, folds=2))
    write_members(study, ensemble, MIXED)
    return study


def training(trial: dict[str, Any], fold: int | None) -> TrainingConfig:
    common = {"backbone": "wrn_10_1", "epochs": 1, "batch_size": 20, "precision": "float32"}
    augment = {"policy": "none", "crop": "none"}
    return TrainingConfig.model_validate(
        {"data": {**FOLDED, "fold": fold}, "trial": {**common, **trial, "augment": augment}}
    )


@pytest.fixture(scope="module")
def folded_set(folded: StudyPaths, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("sets") / "folded"
    with checking_in_this_process():
        manifest, check = export_set(folded, "mixed", out)
    assert check.n == 10 * (DATA["train_per_class"] + DATA["held_out_per_class"]), "every labelled image, once"
    assert check.max_difference < 1e-6
    assert manifest.data.folds == FOLDS
    return out


@pytest.fixture
def spoilt(folded: StudyPaths, tmp_path: Path) -> StudyPaths:
    return StudyPaths(shutil.copytree(folded.root, tmp_path / "study"))


def fold_data(fold: int, image_size: int) -> Dataset:
    return open_dataset(training({}, fold).data, image_size)


def images_of(loaded: CheckpointSet, fold: int) -> dict[int, np.ndarray]:
    return {size: fold_data(fold, size).splits["held_out"].images for size in loaded.image_sizes}


def test_a_member_has_a_folder_a_fold_and_views_share_them(folded_set: Path) -> None:
    members = json.loads((folded_set / "ensemble.json").read_text())["members"]
    found = {member["name"]: [(m["folder"], m["fold"]) for m in member["models"]] for member in members}
    assert found["0000-student-fused"] == [("members/0000-student-fold0", 0), ("members/0000-student-fold1", 1)]
    assert found["0000-teacher-final"][1] == ("members/0000-teacher-fold1", 1)
    assert (folded_set / "members/0000-student-fold1/aux_head.safetensors").is_file()
    assert not (folded_set / "members/0000-teacher-fold1/aux_head.safetensors").exists()


def test_each_folds_networks_alone_give_what_is_stored_of_its_images(folded: StudyPaths, folded_set: Path) -> None:
    loaded = load_set(folded_set)
    for fold in range(FOLDS):
        probs = loaded.with_one_model(fold).predict_members(images_of(loaded, fold))
        for member, found in zip(loaded.members, probs, strict=True):
            stored = read_predictions(folded.trial(member.trial).fold(fold).predictions(member.view))
            np.testing.assert_allclose(found, stored.probs, atol=1e-6)


def test_at_inference_the_networks_of_a_member_are_averaged(folded_set: Path) -> None:
    loaded = load_set(folded_set)
    images = images_of(loaded, 0)
    alone = [loaded.with_one_model(fold).predict_members(images) for fold in range(FOLDS)]
    assert np.abs(alone[0] - alone[1]).max() > 1e-3
    np.testing.assert_allclose(loaded.predict_members(images), np.mean(alone, axis=0), atol=1e-12)
    np.testing.assert_allclose(loaded.predict(images), loaded.vote(np.mean(alone, axis=0)), atol=1e-12)


def test_the_card_says_that_a_member_has_one_network_per_fold(folded_set: Path) -> None:
    assert (
        "| 0000-student-fused | 0.5000 | wrn_10_1 | 16 px | 2, one per fold |" in (folded_set / "README.md").read_text()
    )


def test_swapped_networks_of_two_folds_are_refused(spoilt: StudyPaths, tmp_path: Path) -> None:
    """The joint hash depends on the order of the folds."""
    one, other = (spoilt.trial(1).fold(fold).weights("student") for fold in range(FOLDS))
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)
    with pytest.raises(SetError, match=r"0001/folds/0/.* and .*0001/folds/1/.*: not the weights that made") as caught:
        export_set(spoilt, "mixed", tmp_path / "set")
    assert len(caught.value.faults) == 1


def test_a_missing_fold_is_named(spoilt: StudyPaths, tmp_path: Path) -> None:
    shutil.rmtree(spoilt.trial(1).fold(1).root)
    with pytest.raises(SetError, match=r"0001/folds/1/checkpoints/student\.safetensors: no such file"):
        export_set(spoilt, "mixed", tmp_path / "set")


def test_dropped_weights_of_a_fold_come_back_by_training_that_fold(spoilt: StudyPaths, tmp_path: Path) -> None:
    trial = spoilt.trial(0)
    write_json(trial.result, {**read_json(trial.result), "dropped": ["student", "teacher"]})
    trial.fold(1).weights("student").unlink()
    with pytest.raises(SetError) as caught:
        export_set(spoilt, "mixed", tmp_path / "set")
    (fault,) = caught.value.faults
    assert "folds/1/checkpoints/student.safetensors: dropped to keep within search.checkpoints_gb" in fault
    assert "folds/0" not in fault, "its weights are there"
    assert "raysearch.train " in fault
    assert "-again/0000/folds/1 --threads 1" in fault.replace("'", "")
    assert "-again/0000/folds/1/checkpoints/student.safetensors" in fault.replace("'", "")


def test_stored_predictions_that_a_fold_does_not_reproduce_stop_the_export(spoilt: StudyPaths, tmp_path: Path) -> None:
    path = spoilt.trial(1).predictions("student-final")
    stored = read_predictions(path)
    of_fold_1 = fold_data(1, 8).splits["held_out"].sample_ids[0]
    shifted = stored.probs.copy()
    shifted[stored.sample_ids.index(of_fold_1), :2] += (-0.01, 0.01)
    write_predictions(path, replace(stored, probs=shifted))
    with pytest.raises(SetError, match=r"differ from the stored ones by up to 0\.0025, .* member 0001-student-final"):
        export_set(spoilt, "mixed", tmp_path / "set")
    assert [path.name for path in tmp_path.iterdir()] == ["study"]


def test_hashes_are_joined_in_the_order_of_folds(folded: StudyPaths) -> None:
    trial = folded.trial(0)
    hashes = [sha256(fold.weights("teacher")) for fold in trial.trainings]
    assert read_predictions(trial.predictions("teacher-final")).weights_sha256 == joint_sha256(hashes)
