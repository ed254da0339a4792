"""Members with views at other image sizes (`inference.also_at`)."""

import json
from pathlib import Path

import numpy as np
import pytest
import timm
from small_study import DATA, checking_in_this_process, write_study

from raysearch.config import DataConfig
from raysearch.data.dataset import open_dataset
from raysearch.export.check import Check
from raysearch.export.write import export_set
from raysearch.paths import StudyPaths
from raysearch.predict.checkpoint_set import load_set
from raysearch.predictions import read_predictions

TRIAL = {"backbone": "wrn_10_1", "image_size": 16, "inference": {"also_at": [24, 12], "tencrop": True}}
MIXED = (
    (0, "student-fused-24px", 0.5),
    (0, "student-final", 0.25),
    (0, "teacher-final-12px", 0.125),
    (0, "student-final-tencrop", 0.125),
)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> StudyPaths:
    return write_study(tmp_path_factory.mktemp("sides"), [TRIAL], MIXED)


@pytest.fixture(scope="module")
def exported(study: StudyPaths, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Check]:
    out = tmp_path_factory.mktemp("sets") / "sides"
    with checking_in_this_process():
        return out, export_set(study, "mixed", out, has_onnx=True)[1]


def test_the_stored_probabilities_at_every_side_are_reproduced(exported: tuple[Path, Check]) -> None:
    assert exported[1].member_difference < 1e-6
    assert exported[1].onnx_difference is not None
    assert exported[1].onnx_difference < 1e-5


def test_views_of_all_sides_share_the_folder_of_their_weights(exported: tuple[Path, Check]) -> None:
    manifest = json.loads((exported[0] / "ensemble.json").read_text())
    assert [(m["view"], m["image_size"], m["models"][0]["folder"]) for m in manifest["members"]] == [
        ("student-fused-24px", 24, "members/0000-student"),
        ("student-final", 16, "members/0000-student"),
        ("teacher-final-12px", 12, "members/0000-teacher"),
        ("student-final-tencrop", 16, "members/0000-student"),
    ]
    assert [entry["side"] for entry in manifest["onnx"]["inputs"]] == [12, 16, 18, 24]


def test_each_member_sees_its_own_side(study: StudyPaths, exported: tuple[Path, Check]) -> None:
    loaded = load_set(exported[0])
    assert loaded.image_sizes == (12, 16, 18, 24)
    images = {s: open_dataset(DataConfig(**DATA), s).splits["held_out"].images for s in loaded.image_sizes}
    for member, found in zip(loaded.members, loaded.predict_members(images), strict=True):
        stored = read_predictions(study.trial(0).predictions(member.view))
        np.testing.assert_allclose(found, stored.probs, atol=1e-6)


def test_ten_crops_of_a_view_at_another_side_are_of_that_side(exported: tuple[Path, Check]) -> None:
    ten = load_set(exported[0]).with_tta("tencrop")
    assert [(m.image_size, m.tencrop_side) for m in ten.members] == [(24, 27), (16, 18), (12, 14), (16, 18)]


def test_plain_timm_is_told_the_side_of_the_heaviest_member(exported: tuple[Path, Check]) -> None:
    for folder, side in (("0000-student", 24), ("0000-teacher", 12)):
        model = timm.create_model(f"local-dir:{exported[0] / 'members' / folder}", pretrained=True)
        assert tuple(timm.data.resolve_data_config(model=model)["input_size"]) == (3, side, side)
