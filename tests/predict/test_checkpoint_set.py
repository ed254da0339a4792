import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raysearch.data import open_dataset
from raysearch.errors import SetError
from raysearch.io import sha256
from raysearch.models import infer
from raysearch.paths import StudyPaths
from raysearch.predict import load_set
from raysearch.predictions import read_predictions

WEIGHTS = "members/0001-student/model.safetensors"


@pytest.fixture
def spoilt(small_set: Path, tmp_path: Path) -> Path:
    """A copy of the small set, to be spoilt."""
    return shutil.copytree(small_set, tmp_path / "set")


@pytest.fixture
def edit(spoilt: Path) -> Callable[[Callable[[dict[str, Any]], object]], None]:
    """Changes the spoilt set's manifest."""

    def change(how: Callable[[dict[str, Any]], object]) -> None:
        manifest = json.loads((spoilt / "ensemble.json").read_text())
        how(manifest)
        (spoilt / "ensemble.json").write_text(json.dumps(manifest))

    return change


def test_a_set_predicts_the_weighted_sum_of_its_members(small_set: Path, small_study: StudyPaths) -> None:
    loaded = load_set(small_set)
    assert loaded.image_sizes == (16, 32)
    held_out = {size: open_dataset(loaded.manifest.data, size).splits["held_out"] for size in loaded.image_sizes}
    probs = loaded.predict({size: split.images for size, split in held_out.items()})

    stored = [read_predictions(small_study.trial(m.trial).predictions(m.view)) for m in loaded.members]
    expected = sum(m.weight * p.probs.astype(np.float64) for m, p in zip(loaded.members, stored, strict=True))
    assert probs.dtype == np.float64
    np.testing.assert_allclose(probs, expected, atol=1e-6)
    np.testing.assert_allclose(probs.sum(axis=1), 1, atol=1e-5)


def test_a_changed_byte_and_a_missing_file_are_both_named(spoilt: Path) -> None:
    content = bytearray((spoilt / WEIGHTS).read_bytes())
    content[len(content) // 2] ^= 1
    (spoilt / WEIGHTS).write_bytes(content)
    (spoilt / "members/0000-teacher/aux_head.safetensors").unlink()
    with pytest.raises(SetError) as caught:
        load_set(spoilt)
    assert len(caught.value.faults) == 2
    assert "0000-teacher/aux_head.safetensors: missing" in str(caught.value)
    assert f"{WEIGHTS}: altered" in str(caught.value)


@pytest.mark.parametrize("name", ["../outside.safetensors", "/etc/hostname", "members/../../x", "a\\..\\b"])
def test_a_path_out_of_the_set_is_refused_by_name(
    spoilt: Path, edit: Callable[[Callable[[dict[str, Any]], object]], None], name: str
) -> None:
    edit(lambda manifest: manifest["files"].update({name: "0" * 64}))
    with pytest.raises(SetError) as caught:
        load_set(spoilt)
    assert f"ensemble.json: files: {name!r} must lie below the set" in str(caught.value)


def test_a_member_whose_files_are_not_listed_is_refused_by_name(
    spoilt: Path, edit: Callable[[Callable[[dict[str, Any]], object]], None]
) -> None:
    edit(lambda manifest: manifest["members"][0].update({"folder": "../elsewhere"}))
    with pytest.raises(SetError, match=r"'\.\./elsewhere/model\.safetensors' is not among files"):
        load_set(spoilt)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format_version": 2}, r"format_version: must be 1; read this set with the raysearch that wrote it"),
        ({"classes": ["a", "a"]}, r"classes: a name stands twice"),
        ({"members": []}, r"members: list should have at least 1 item"),
        ({"files": 3}, r"files: input should be"),
    ],
)
def test_an_inconsistent_manifest_is_refused_with_the_place(
    spoilt: Path,
    edit: Callable[[Callable[[dict[str, Any]], object]], None],
    change: dict[str, Any],
    message: str,
) -> None:
    edit(lambda manifest: manifest.update(change))
    with pytest.raises(SetError, match=r"ensemble\.json: " + message):
        load_set(spoilt)


def test_weights_of_members_must_sum_to_one(
    spoilt: Path, edit: Callable[[Callable[[dict[str, Any]], object]], None]
) -> None:
    edit(lambda manifest: manifest["members"][0].update({"weight": 0.25}))
    with pytest.raises(SetError, match=r"weights must sum to 1, got 0\.75"):
        load_set(spoilt)


@pytest.mark.parametrize("text", ["{", "", "\xff", "[]", "3", '"x"', "null"])
def test_a_manifest_that_is_none_is_refused_by_name(spoilt: Path, text: str) -> None:
    (spoilt / "ensemble.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(SetError, match=r"ensemble\.json: top level: "):
        load_set(spoilt)


def test_what_is_no_set_is_said_in_a_line(tmp_path: Path, small_study: StudyPaths) -> None:
    for root, message in (
        (tmp_path, "not a checkpoint set: it has no ensemble.json"),
        (tmp_path / "nowhere", "no such folder"),
        (small_study.root, "it is a study; write a set of it with raysearch.export"),
    ):
        with pytest.raises(SetError) as caught:
            load_set(root)
        assert len(caught.value.faults) == 1
        assert message in str(caught.value)


class _Evil:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, ("unpickled",)


def test_a_pickle_in_the_place_of_weights_is_refused_and_never_run(
    spoilt: Path, edit: Callable[[Callable[[dict[str, Any]], object]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(spoilt.parent)
    (spoilt / WEIGHTS).write_bytes(pickle.dumps(_Evil()))
    edit(lambda manifest: manifest["files"].update({WEIGHTS: sha256(spoilt / WEIGHTS)}))
    with pytest.raises(SetError, match=r"model\.safetensors: not the weights of a resnet10t"):
        load_set(spoilt)
    assert not Path("unpickled").exists()


def test_weights_of_another_backbone_are_refused_by_name(
    spoilt: Path, edit: Callable[[Callable[[dict[str, Any]], object]], None]
) -> None:
    edit(lambda manifest: manifest["members"][2].update({"backbone": "wrn_10_1"}))
    with pytest.raises(SetError, match=r"0001-student/model\.safetensors: not the weights of a wrn_10_1"):
        load_set(spoilt)


def test_files_beside_the_listed_ones_do_no_harm(spoilt: Path) -> None:
    (spoilt / "README.md").write_text("mine")
    (spoilt / "members/0001-student/pytorch_model.bin").write_bytes(pickle.dumps(_Evil()))
    assert len(load_set(spoilt).members) == 4


def test_a_set_without_the_field_of_tencrop_is_read_as_before(
    spoilt: Path, small_set: Path, edit: Callable[[Callable[[dict[str, Any]], object]], None]
) -> None:
    edit(lambda manifest: [member.pop("tencrop_side") for member in manifest["members"]])
    old = load_set(spoilt)
    assert old.manifest == load_set(small_set).manifest
    assert old.image_sizes == (16, 32)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tencrop_side": 20}, r"0000-teacher-fused: tencrop_side must be given .* no other, got 20"),
        ({"view": "teacher-fused-tencrop"}, r"tencrop_side must be given for a TenCrop view.*, got None"),
        ({"view": "teacher-fused-tencrop", "tencrop_side": 15}, r"at least image_size \(16\).*, got 15"),
        ({"view": "teacher-fused-fivecrop"}, r"members\.0\.view: string should match"),
        ({"view": "teacher-final-tencrop", "tencrop_side": 20}, r"aux_fusion must be given for a fused view"),
    ],
)
def test_a_member_whose_crops_do_not_fit_its_view_is_refused_by_name(
    spoilt: Path,
    edit: Callable[[Callable[[dict[str, Any]], object]], None],
    change: dict[str, Any],
    message: str,
) -> None:
    edit(lambda manifest: manifest["members"][0].update(change))
    with pytest.raises(SetError, match=message):
        load_set(spoilt)


def test_tencrop_and_whole_squares_of_one_side_are_not_mixed_up(
    spoilt: Path, edit: Callable[[Callable[[dict[str, Any]], object]], None]
) -> None:
    """A crop of nearly the whole square may round to all of it: ten crops are then the square and its mirror image."""
    crops = {"view": "teacher-final-tencrop", "name": "0000-teacher-final-tencrop", "tencrop_side": 16, "weight": 0.5}
    edit(lambda manifest: manifest.update(members=[m | {"weight": 0.5} for m in manifest["members"][1:2]] * 2))
    edit(lambda manifest: manifest["members"][0].update(crops))
    loaded = load_set(spoilt)
    images = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3), dtype=np.uint8)
    classifier = loaded.classifiers["members/0000-teacher"]
    plain, mirrored = (infer(classifier, i).final for i in (images, images[:, :, ::-1]))
    np.testing.assert_allclose(loaded.predict({16: images}), 0.75 * plain + 0.25 * mirrored, atol=1e-6)
