import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raysearch.data.dataset import open_dataset
from raysearch.errors import SetError
from raysearch.io import sha256
from raysearch.models import infer, infer_tencrop
from raysearch.paths import StudyPaths
from raysearch.predict.checkpoint_set import CheckpointSet, load_set
from raysearch.predictions import read_predictions

WEIGHTS = "members/0001-student/model.safetensors"


@pytest.fixture
def spoilt(small_set: Path, tmp_path: Path) -> Path:
    """A copy of the small set that tests may damage."""
    return shutil.copytree(small_set, tmp_path / "set")


@pytest.fixture
def edit(spoilt: Path) -> Callable[[Callable[[dict[str, Any]], object]], None]:
    """Changes the manifest of the damaged set."""

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
def test_a_path_outside_the_set_is_refused_by_name(
    spoilt: Path, edit: Callable[[Callable[[dict[str, Any]], object]], None], name: str
) -> None:
    edit(lambda manifest: manifest["files"].update({name: "0" * 64}))
    with pytest.raises(SetError) as caught:
        load_set(spoilt)
    assert f"ensemble.json: files: {name!r} must be inside the set" in str(caught.value)


def test_a_member_whose_files_are_not_listed_is_refused_by_name(
    spoilt: Path, edit: Callable[[Callable[[dict[str, Any]], object]], None]
) -> None:
    edit(lambda manifest: manifest["members"][0]["models"][0].update({"folder": "../elsewhere"}))
    with pytest.raises(SetError, match=r"'\.\./elsewhere/model\.safetensors' must be listed in files"):
        load_set(spoilt)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format_version": 1}, r"format_version: must be 2; export the set again, or use the raysearch version that"),
        ({"classes": ["a", "a"]}, r"classes: names must be unique"),
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
def test_an_invalid_manifest_is_refused_by_name(spoilt: Path, text: str) -> None:
    (spoilt / "ensemble.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(SetError, match=r"ensemble\.json: top level: "):
        load_set(spoilt)


def test_a_folder_that_is_not_a_set_is_refused_in_one_line(tmp_path: Path, small_study: StudyPaths) -> None:
    for root, message in (
        (tmp_path, "not a checkpoint set: it has no ensemble.json"),
        (tmp_path / "nowhere", "no such folder"),
        (small_study.root, "this is a study; create a set from it with `raysearch export`"),
    ):
        with pytest.raises(SetError) as caught:
            load_set(root)
        assert len(caught.value.faults) == 1
        assert message in str(caught.value)


class _Evil:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, ("unpickled",)


def test_a_pickle_instead_of_weights_is_refused_and_never_run(
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


def test_unlisted_files_are_ignored(spoilt: Path) -> None:
    (spoilt / "notes.md").write_text("mine")
    (spoilt / "members/0001-student/pytorch_model.bin").write_bytes(pickle.dumps(_Evil()))
    assert len(load_set(spoilt).members) == 4


@pytest.mark.parametrize("field", ["tencrop_side", "mirror"])
def test_a_set_without_the_field_of_several_crops_is_read_as_before(
    spoilt: Path, small_set: Path, edit: Callable[[Callable[[dict[str, Any]], object]], None], field: str
) -> None:
    edit(lambda manifest: [member.pop(field) for member in manifest["members"]])
    old = load_set(spoilt)
    assert old.manifest == load_set(small_set).manifest
    assert old.image_sizes == (16, 32)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tencrop_side": 20}, r"0000-teacher-fused: tencrop_side must be .* null for other views, got 20"),
        (
            {"view": "teacher-fused-tencrop"},
            r"tencrop_side must be at least image_size .*, got None",
        ),
        ({"view": "teacher-fused-tencrop", "tencrop_side": 15}, r"at least image_size \(16\).*, got 15"),
        ({"view": "teacher-fused-fivecrop"}, r"members\.0\.view: string should match"),
        ({"mirror": True}, r"0000-teacher-fused: mirror must be true for a mirror view and false .*, got True"),
        ({"view": "teacher-fused-mirror"}, r"mirror must be true for a mirror view .*, got False"),
        ({"view": "teacher-fused-mirror", "mirror": True, "tencrop_side": 20}, r"tencrop_side must be .*, got 20"),
        ({"view": "teacher-final-tencrop", "tencrop_side": 20}, r"aux_fusion must be a number for a fused view"),
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
    """A crop of almost the whole square may round to all of it. TenCrop then sees the square and its mirror image."""
    crops = {"view": "teacher-final-tencrop", "name": "0000-teacher-final-tencrop", "tencrop_side": 16, "weight": 0.5}
    edit(lambda manifest: manifest.update(members=[m | {"weight": 0.5} for m in manifest["members"][1:2]] * 2))
    edit(lambda manifest: manifest["members"][0].update(crops))
    loaded = load_set(spoilt)
    images = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3), dtype=np.uint8)
    classifier = loaded.classifiers["members/0000-teacher"]
    plain, mirrored = (infer(classifier, i).final for i in (images, images[:, :, ::-1]))
    np.testing.assert_allclose(loaded.predict({16: images}), 0.75 * plain + 0.25 * mirrored, atol=1e-6)


def held_out(loaded: CheckpointSet, sizes: tuple[int, ...] | None = None) -> dict[int, np.ndarray]:
    data = loaded.manifest.data
    return {size: open_dataset(data, size).splits["held_out"].images for size in sizes or loaded.image_sizes}


def test_the_vote_of_the_members_probabilities_is_the_prediction(small_set: Path, small_study: StudyPaths) -> None:
    loaded = load_set(small_set)
    members = loaded.predict_members(held_out(loaded))
    assert members.shape == (4, 40, 10)
    assert members.dtype == np.float64
    for member, probs in zip(loaded.members, members, strict=True):
        stored = read_predictions(small_study.trial(member.trial).predictions(member.view))
        np.testing.assert_allclose(probs, stored.probs, atol=1e-6)
    np.testing.assert_array_equal(loaded.vote(members), loaded.predict(held_out(loaded)))


def test_calibration_uses_the_sets_temperature_and_keeps_the_best_class(small_set: Path) -> None:
    loaded = load_set(small_set)
    probs = loaded.predict(held_out(loaded))
    temperature = loaded.manifest.temperature
    powers = probs ** (1 / temperature)
    np.testing.assert_allclose(loaded.calibrated(probs), powers / powers.sum(1, keepdims=True), atol=1e-12)
    np.testing.assert_array_equal(loaded.calibrated(probs).argmax(1), probs.argmax(1))
    assert temperature != 1


def test_tta_tencrop_uses_ten_crops_for_every_member_and_center_uses_none(small_set: Path) -> None:
    loaded = load_set(small_set)
    ten = loaded.with_tta("tencrop")
    assert ten.image_sizes == (18, 37), "16 and 32 over 0.875"
    images = {size: pixels[:6] for size, pixels in held_out(loaded, (16, 18, 32, 37)).items()}
    crops = infer_tencrop(loaded.classifiers["members/0001-student"], images[37], 32).final
    np.testing.assert_allclose(ten.predict_members(images)[2], crops, atol=1e-6)
    assert np.abs(ten.predict(images) - loaded.predict(images)).max() > 1e-3
    again = ten.with_tta("center")
    assert again.image_sizes == loaded.image_sizes
    np.testing.assert_array_equal(again.predict(images), loaded.predict(images))


def test_tta_mirror_uses_the_mirror_images_for_every_member(small_set: Path) -> None:
    loaded = load_set(small_set)
    mirror = loaded.with_tta("tencrop").with_tta("mirror")
    assert mirror.image_sizes == loaded.image_sizes
    images = {size: pixels[:6] for size, pixels in held_out(loaded).items()}
    flipped = {size: pixels[:, :, ::-1] for size, pixels in images.items()}
    expected = (loaded.predict(images) + loaded.predict(flipped)) / 2
    np.testing.assert_allclose(mirror.predict(images), expected, atol=1e-6)
    np.testing.assert_array_equal(mirror.with_tta("center").predict(images), loaded.predict(images))


def test_views_of_the_same_weights_share_a_pass(small_set: Path) -> None:
    runs = load_set(small_set).runs
    assert runs == {
        ("members/0000-teacher", 16, "center", 16): [0, 1],
        ("members/0001-student", 32, "center", 32): [2],
        ("members/0002-student", 32, "center", 32): [3],
    }


def test_a_link_to_outside_the_set_is_refused_even_if_its_content_is_right(spoilt: Path, tmp_path: Path) -> None:
    elsewhere = shutil.move(spoilt / WEIGHTS, tmp_path / "elsewhere.safetensors")
    (spoilt / WEIGHTS).symlink_to(elsewhere)
    with pytest.raises(SetError) as caught:
        load_set(spoilt)
    assert caught.value.faults == [
        f"{spoilt / WEIGHTS}: a link to {elsewhere}, outside the set; copy the file itself into the set"
    ]


def test_a_folder_that_links_to_outside_the_set_is_refused(spoilt: Path, tmp_path: Path) -> None:
    shutil.move(spoilt / "members", tmp_path / "members")
    (spoilt / "members").symlink_to(tmp_path / "members")
    with pytest.raises(SetError, match=r"0001-student/model\.safetensors: a link to .*, outside the set"):
        load_set(spoilt)


def test_links_within_the_set_and_to_it_are_followed(spoilt: Path, tmp_path: Path) -> None:
    (spoilt / "kept").mkdir()
    shutil.move(spoilt / WEIGHTS, spoilt / "kept" / "weights")
    (spoilt / WEIGHTS).symlink_to(spoilt / "kept" / "weights")
    (tmp_path / "link").symlink_to(spoilt)
    assert len(load_set(tmp_path / "link").members) == 4


def test_a_link_to_itself_and_a_manifest_that_is_a_link_are_refused(spoilt: Path, tmp_path: Path) -> None:
    (spoilt / WEIGHTS).unlink()
    (spoilt / WEIGHTS).symlink_to(spoilt / WEIGHTS)
    with pytest.raises(SetError, match=r"model\.safetensors: missing; export or copy"):
        load_set(spoilt)
    shutil.move(spoilt / "ensemble.json", tmp_path / "ensemble.json")
    (spoilt / "ensemble.json").symlink_to(tmp_path / "ensemble.json")
    with pytest.raises(SetError, match=r"ensemble\.json: a link to .*, outside the set"):
        load_set(spoilt)


def test_a_changed_byte_of_any_file_is_refused_by_its_name(spoilt: Path) -> None:
    files = json.loads((spoilt / "ensemble.json").read_text())["files"]
    assert {"README.md", WEIGHTS, "members/0001-student/config.json"} <= set(files)
    for name in files:
        content = (spoilt / name).read_bytes()
        (spoilt / name).write_bytes(bytes([content[0] ^ 1]) + content[1:])
        with pytest.raises(SetError) as caught:
            load_set(spoilt)
        assert caught.value.faults == [
            f"{spoilt / name}: altered: its SHA-256 differs from the manifest; copy the set again"
        ]
        (spoilt / name).write_bytes(content)


def test_a_view_at_a_side_that_the_member_does_not_see_is_refused(
    spoilt: Path, edit: Callable[[Callable[[dict[str, Any]], object]], None]
) -> None:
    edit(lambda manifest: manifest["members"][2].update({"view": "student-final-40px"}))
    with pytest.raises(SetError, match=r"0001-student-final: image_size must be 40 for view .* got 32"):
        load_set(spoilt)


@pytest.mark.parametrize("backbone", ["local-dir:/tmp/x", "hf-hub:someone/model", "no_such_backbone"])
def test_a_backbone_is_never_fetched_from_elsewhere(
    spoilt: Path, edit: Callable[[Callable[[dict[str, Any]], object]], None], backbone: str
) -> None:
    edit(lambda manifest: manifest["members"][2].update({"backbone": backbone}))
    with pytest.raises(SetError, match=r"members: 0001-student-final: trial\.backbone: got"):
        load_set(spoilt)
