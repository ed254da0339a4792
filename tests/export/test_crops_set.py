"""Mirror images, TenCrop and a separate inference size, from training to the predictions of a set."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import load_file
from small_study import DATA, export_mixed, write_study

from raysearch.config import DataConfig, TrainingConfig
from raysearch.data.dataset import open_dataset
from raysearch.evaluate.evaluation import evaluate
from raysearch.io import read_yaml, sha256
from raysearch.models import Classifier, build_classifier, infer, infer_mirrored, infer_tencrop
from raysearch.paths import VIEWS, StudyPaths, TrialPaths, view_parts
from raysearch.predict.__main__ import command as predict_command
from raysearch.predict.checkpoint_set import load_set
from raysearch.predict.inputs import open_split
from raysearch.predictions import Predictions, read_predictions
from raysearch.train.figures import accuracy, log_loss
from raysearch.train.held_out import write_other_mode
from raysearch.train.inference_mode import other_inference_modes

SIZE, SIDE = 20, 25
TRIAL = {
    "backbone": "wrn_10_1",
    "image_size": 16,
    "block_dropout": 0.2,  # acts in training only
    "augment": {"policy": "none", "crop": "resized"},
    "method": {"aux_stage": 0},
    "inference": {"image_size": SIZE, "mirror": True, "tencrop": True, "tencrop_share": SIZE / SIDE},
}
MIXED = (
    (0, "teacher-fused-tencrop", 0.5),
    (0, "student-final-tencrop", 0.25),
    (0, "student-fused", 0.125),
    (0, "teacher-fused-mirror", 0.125),
)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> StudyPaths:
    """One training of one epoch at 16 px; inference at 20 px, also with mirror images and with ten crops of 25 px."""
    return write_study(tmp_path_factory.mktemp("crops"), [TRIAL], MIXED)


@pytest.fixture(scope="module")
def exported(study: StudyPaths) -> tuple[Path, str]:
    return export_mixed(study, "--format", "onnx")


def held_out(image_size: int) -> np.ndarray:
    return open_dataset(DataConfig(**DATA), image_size).splits["held_out"].images


def kept(paths: TrialPaths, role: str) -> Classifier:
    classifier = build_classifier("wrn_10_1", 10, SIZE, has_aux_head=True, aux_stage=0)
    classifier.load_state_dict(load_file(paths.weights(role)))
    return classifier.to(memory_format=torch.channels_last)


def stored(study: StudyPaths, view: str) -> Predictions:
    return read_predictions(study.trial(0).predictions(view))


@pytest.mark.parametrize("role", ["student", "teacher"])
def test_every_view_is_of_the_kept_weights_at_the_size_of_inference(study: StudyPaths, role: str) -> None:
    classifier = kept(study.trial(0), role)
    center, tencrop = infer(classifier, held_out(SIZE)), infer_tencrop(classifier, held_out(SIDE), SIZE)
    np.testing.assert_array_equal(stored(study, f"{role}-final").probs, center.final)
    mirrored = infer_mirrored(classifier, held_out(SIZE))
    np.testing.assert_array_equal(stored(study, f"{role}-final-mirror").probs, mirrored.final)
    np.testing.assert_array_equal(stored(study, f"{role}-fused-mirror").probs, mirrored.fused(0.3))
    np.testing.assert_array_equal(stored(study, f"{role}-final-tencrop").probs, tencrop.final)
    np.testing.assert_array_equal(stored(study, f"{role}-fused-tencrop").probs, tencrop.fused(0.3))
    assert np.abs(center.final - tencrop.final).max() > 1e-3
    assert np.abs(center.final - mirrored.final).max() > 1e-3


def test_predictions_of_every_view_are_of_the_same_samples_data_and_weights(
    study: StudyPaths,
) -> None:
    for view in VIEWS:
        role = view_parts(view).role
        one, other = stored(study, view), stored(study, f"{role}-final")
        assert (one.trial_number, one.view, one.fingerprint) == (0, view, other.fingerprint)
        assert (one.sample_ids, one.classes) == (other.sample_ids, other.classes)
        np.testing.assert_array_equal(one.labels, other.labels)
        assert one.weights_sha256 == sha256(study.trial(0).weights(role))


@pytest.mark.parametrize("name", ["mirror", "tencrop"])
def test_keeping_a_mode_gives_the_figures_of_what_is_stored(study: StudyPaths, name: str) -> None:
    trial = TrainingConfig.model_validate(read_yaml(study.trial(0).config)).trial
    classifier, dataset = kept(study.trial(0), "teacher"), open_dataset(DataConfig(**DATA), 16)
    (mode,) = (mode for mode in other_inference_modes(trial) if mode.name == name)
    found, _ = write_other_mode(study.trial(0), 0, "teacher", classifier, dataset, 0.3, mode)
    assert list(found) == [f"teacher-final-{name}", f"teacher-fused-{name}"]
    for view, figures in found.items():
        predictions = stored(study, view)
        assert figures["accuracy"] == accuracy(predictions.probs, predictions.labels)
        assert figures["log_loss"] == log_loss(predictions.probs, predictions.labels)
    assert found[f"teacher-fused-{name}"]["best_accuracy"] >= found[f"teacher-fused-{name}"]["accuracy"]


def test_a_fresh_process_reproduces_the_members_of_a_set(exported: tuple[Path, str]) -> None:
    verified = re.search(r"of 40 held-out images: max difference (\S+), accuracy (\S+) in both", exported[1])
    assert verified
    assert float(verified[1]) < 1e-6
    assert "4 members from 2 checkpoints" in exported[1]


def test_the_manifest_says_which_crops_a_member_uses(exported: tuple[Path, str]) -> None:
    members = json.loads((exported[0] / "ensemble.json").read_text())["members"]
    assert [(m["name"], m["image_size"], m["mirror"], m["tencrop_side"], m["aux_fusion"]) for m in members] == [
        ("0000-teacher-fused-tencrop", SIZE, False, SIDE, 0.3),
        ("0000-student-final-tencrop", SIZE, False, SIDE, None),
        ("0000-student-fused", SIZE, False, None, 0.3),
        ("0000-teacher-fused-mirror", SIZE, True, None, 0.3),
    ]
    assert {m["aux_stage"] for m in members} == {0}
    assert [m["models"][0]["folder"] for m in members] == [
        "members/0000-teacher",
        "members/0000-student",
        "members/0000-student",
        "members/0000-teacher",
    ]
    assert all((exported[0] / m["models"][0]["folder"] / "aux_head.safetensors").is_file() for m in members)


def test_a_set_predicts_the_weighted_sum_of_its_members(study: StudyPaths, exported: tuple[Path, str]) -> None:
    loaded = load_set(exported[0])
    assert loaded.image_sizes == (SIZE, SIDE)
    probs = loaded.predict({size: held_out(size) for size in loaded.image_sizes})
    expected = sum(weight * stored(study, view).probs.astype(np.float64) for _, view, weight in MIXED)
    np.testing.assert_allclose(probs, expected, atol=1e-6)
    found = evaluate(loaded, open_split("digits", "held_out", loaded.image_sizes, loaded.manifest.data))
    assert found.accuracy == accuracy(expected, stored(study, "student-final").labels)


def test_a_source_is_predicted_by_the_command(exported: tuple[Path, str], tmp_path: Path) -> None:
    predict_command(exported[0], ["digits"], "val", out=tmp_path / "preds.csv")
    assert len((tmp_path / "preds.csv").read_text().splitlines()) == 1 + 40


def test_plain_timm_is_told_the_size_of_inference(exported: tuple[Path, str]) -> None:
    model = timm.create_model(f"local-dir:{exported[0] / 'members/0000-teacher'}", pretrained=True)
    assert tuple(timm.data.resolve_data_config(model=model)["input_size"]) == (3, SIZE, SIZE)


def test_the_command_writes_an_onnx_file_lists_it_and_says_how_near_it_is(exported: tuple[Path, str]) -> None:
    folder, printed = exported
    match = re.search(r"ensemble\.onnx: onnxruntime reproduces the set's probabilities: max difference (\S+)", printed)
    assert match
    assert float(match[1]) < 1e-5
    manifest = json.loads((folder / "ensemble.json").read_text())
    assert manifest["onnx"]["inputs"] == [{"name": "images_20", "side": 20}, {"name": "images_25", "side": 25}]
    assert "ensemble.onnx" in manifest["files"]
    assert "`images_25`" in (folder / "README.md").read_text()


def test_the_card_names_the_crops_of_each_member(exported: tuple[Path, str]) -> None:
    card = (exported[0] / "README.md").read_text()
    crops = [line.split("|")[4].strip() for line in card.splitlines() if line.startswith("| 0000-")]
    tencrop = f"{SIZE} px, ten crops of {SIDE} px"
    assert crops == [tencrop, tencrop, f"{SIZE} px", f"{SIZE} px, with its mirror image"]
