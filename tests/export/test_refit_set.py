"""Export of refitted members: trained again on train and held_out together, with the same ensemble weights."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_study import DATA, checking_in_this_process, train_small, write_small_study_file, write_study

from raysearch.config import DataConfig
from raysearch.data.dataset import Dataset, open_dataset
from raysearch.errors import SetError, StudyError
from raysearch.export.__main__ import _choose_out, _summarize
from raysearch.export.check import Check
from raysearch.export.write import export_set
from raysearch.io import read_json, sha256, write_json
from raysearch.paths import SetPaths, StudyPaths
from raysearch.predict.checkpoint_set import load_set
from raysearch.predict.integrity import read_manifest
from raysearch.predict.manifest import Manifest
from raysearch.predictions import read_predictions, write_predictions

pytestmark = pytest.mark.usefixtures("check_in_this_process")

MERGED = {**DATA, "merged_held_out_per_class": 1}
SEEDS = 2
TRIALS: tuple[dict[str, Any], ...] = (
    {"backbone": "wrn_10_1", "image_size": 16, "seed": 0},
    {"backbone": "wrn_10_1", "image_size": 8, "seed": 1, "augment": {"policy": "none", "crop": "none"}},
)
MIXED = ((0, "student-fused", 0.5), (0, "teacher-final", 0.25), (1, "student-final", 0.25))
REFITS = {"0": [0, 1], "1": [2, 3]}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> StudyPaths:
    """Two trainings, their ensemble `mixed`, and its refit with two seeds."""
    study = write_study(tmp_path_factory.mktemp("refitted"), TRIALS, MIXED)
    refit = study.refit("mixed")
    for original, numbers in REFITS.items():
        for seed, number in enumerate(numbers):
            dataset = train_small(refit, number, {**TRIALS[int(original)], "seed": 10 + seed}, MERGED)
    write_small_study_file(refit, MERGED, dataset)
    write_json(
        refit.refit_of,
        {"ensemble": "mixed", "ensemble_sha256": sha256(study.ensemble("mixed")), "trials": REFITS},
    )
    return study


@pytest.fixture(scope="module")
def exported(study: StudyPaths, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Manifest, Check]:
    out = tmp_path_factory.mktemp("sets") / "refitted"
    with checking_in_this_process():
        return out, *export_set(study, "mixed", out, refit=lambda: study.refit("mixed"))


@pytest.fixture
def spoilt(study: StudyPaths, tmp_path: Path) -> StudyPaths:
    return StudyPaths(shutil.copytree(study.root, tmp_path / "study"))


@pytest.fixture
def refused(spoilt: StudyPaths, tmp_path: Path) -> Callable[[], str]:
    def export() -> str:
        with pytest.raises((SetError, StudyError)) as caught:
            export_set(spoilt, "mixed", tmp_path / "set", refit=lambda: spoilt.refit("mixed"))
        assert [path.name for path in tmp_path.iterdir()] == ["study"]
        return str(caught.value)

    return export


def kept_out(image_size: int) -> Dataset:
    return open_dataset(DataConfig(**MERGED), image_size)


def test_a_members_models_are_its_refits_one_a_seed(exported: tuple[Path, Manifest, Check]) -> None:
    members = json.loads((exported[0] / "ensemble.json").read_text())["members"]
    assert [(m["name"], m["trial"], m["weight"]) for m in members] == [
        ("0000-student-fused", 0, 0.5),
        ("0000-teacher-final", 0, 0.25),
        ("0001-student-final", 1, 0.25),
    ]
    assert members[2]["models"] == [
        {"folder": "members/0001-student-refit2", "fold": None, "refit": 2, "seed": 10},
        {"folder": "members/0001-student-refit3", "fold": None, "refit": 3, "seed": 11},
    ]


def test_every_seed_is_checked_on_the_few_images_that_were_kept_out(exported: tuple[Path, Manifest, Check]) -> None:
    assert exported[2].n == 10, "one image of each of ten classes"
    assert exported[2].max_difference < 1e-6
    assert exported[2].member_difference < 1e-6


def test_the_set_averages_the_seeds(study: StudyPaths, exported: tuple[Path, Manifest, Check]) -> None:
    loaded = load_set(exported[0])
    images = {size: kept_out(size).splits["held_out"].images for size in loaded.image_sizes}
    refit = study.refit("mixed")
    for member, found in zip(loaded.members, loaded.predict_members(images), strict=True):
        seeds = [read_predictions(refit.trial(m.refit).predictions(member.view)).probs for m in member.models]
        np.testing.assert_allclose(found, np.mean(seeds, axis=0), atol=1e-6)


def test_the_manifest_says_what_it_is_of(study: StudyPaths, exported: tuple[Path, Manifest, Check]) -> None:
    manifest = json.loads((exported[0] / "ensemble.json").read_text())
    assert manifest["refitted"] is True
    assert manifest["study"] == "small"
    assert manifest["data"]["merged_held_out_per_class"] == 1
    assert manifest["fingerprint"] == kept_out(16).fingerprint
    stored = read_json(study.ensemble("mixed"))
    assert manifest["figures"]["cross_fitted"] == stored["cross_fitted"]
    assert manifest["temperature"] == stored["calibration"]["temperature"]


def test_manifest_card_and_command_say_that_the_figures_no_longer_apply(
    exported: tuple[Path, Manifest, Check],
) -> None:
    out, _, check = exported
    card = (out / "README.md").read_text()
    assert "## Figures before the refit" in card
    assert "do not apply to the members of this set" in card
    printed = "\n".join(_summarize(read_manifest(SetPaths(out)), check, out))
    assert "of 10 kept-out images" in printed
    assert "describe its members before the refit and do not apply to the refitted members" in printed
    assert "Cross-fitted accuracy on held-out images" not in printed


def test_a_refit_of_another_selection_is_refused(spoilt: StudyPaths, refused: Callable[[], str]) -> None:
    content = read_json(spoilt.ensemble("mixed"))
    write_json(spoilt.ensemble("mixed"), {**content, "candidates": 99})
    assert "refit.json: this refit was made for another ensemble, or 'mixed' has changed since" in refused()


@pytest.mark.parametrize("trials", [{"0": [0, 1]}, {"0": [0, 1], "1": [2]}, {}])
def test_a_refit_that_lacks_a_training_is_refused(
    spoilt: StudyPaths, refused: Callable[[], str], trials: dict[str, list[int]]
) -> None:
    path = spoilt.refit("mixed").refit_of
    write_json(path, {**read_json(path), "trials": trials})
    assert "refit.json: every member's trial must have the same number of refits, at least one" in refused()


def test_a_refit_whose_training_failed_is_refused_by_number(spoilt: StudyPaths, refused: Callable[[], str]) -> None:
    result = spoilt.refit("mixed").trial(3).result
    write_json(result, {**read_json(result), "state": "FAIL"})
    spoilt.refit("mixed").trial(1).result.unlink()
    message = refused()
    assert "the refit's trial 3 must be COMPLETE, but is FAIL" in message
    assert "the refit's trial 1 must be COMPLETE, but is not finished" in message


def test_weights_that_did_not_make_the_refits_own_predictions_are_refused(
    spoilt: StudyPaths, refused: Callable[[], str]
) -> None:
    refit = spoilt.refit("mixed")
    shutil.copy(refit.trial(2).weights("student"), refit.trial(3).weights("student"))
    message = refused()
    assert "refits/mixed/trials/0003/checkpoints/student.safetensors: not the weights that made" in message
    assert "0002" not in message


def test_a_seed_that_is_not_reproduced_is_noticed_though_seeds_are_averaged(
    spoilt: StudyPaths, refused: Callable[[], str]
) -> None:
    refit = spoilt.refit("mixed")
    for number, sign in ((2, 1), (3, -1)):
        path = refit.trial(number).predictions("student-final")
        stored = read_predictions(path)
        shifted = stored.probs.copy()
        shifted[0, :2] += (-0.01 * sign, 0.01 * sign)
        write_predictions(path, replace(stored, probs=shifted))
    assert "the probabilities of member 0001-student-final differ from the stored ones by up to 0.01" in refused()


def test_nothing_is_trained_where_the_set_could_not_be_written(study: StudyPaths, tmp_path: Path) -> None:
    def train_for_hours() -> StudyPaths:
        raise AssertionError("the export must first check that the folder is free")

    (tmp_path / "set").mkdir()
    with pytest.raises(SetError, match="already exists"):
        export_set(study, "mixed", tmp_path / "set", refit=train_for_hours)


def test_default_folders_are_in_best_and_differ_by_ensemble_and_refit(tmp_path: Path) -> None:
    assert [str(_choose_out(tmp_path / "cr", *rest)) for rest in (("greedy", False), ("bagged", True))] == [
        "best/cr",
        "best/cr-bagged-refit",
    ]
