"""The public Python API."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits
from small_study import small_set, small_study, write_parquet

import raysearch
from raysearch.errors import DataError, SetError, StudyError, UserError
from raysearch.paths import StudyPaths
from raysearch.predict.checkpoint_set import load_set

__all__ = ["small_set", "small_study", "write_parquet"]

CLOSE = {"rtol": 0, "atol": 1e-6}
"""Batches of other sizes round otherwise."""
ROOT = Path(__file__).resolve().parents[1]


def digit(index: int, side: int = 8) -> Image.Image:
    pixels = np.uint8(load_digits().images[index] * 255 / 16)
    return Image.fromarray(pixels).resize((side, side), Image.Resampling.NEAREST)


def test_importing_it_loads_neither_torch_nor_ray() -> None:
    code = "import raysearch, sys; dir(raysearch); assert not {'torch', 'ray', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_is_exported_is_there_and_documented_and_typed() -> None:
    stub = (ROOT / "raysearch/__init__.pyi").read_text()
    page = (ROOT / "docs/python.md").read_text()
    for name in raysearch.__all__:
        assert getattr(raysearch, name) is not None
        assert re.search(rf"\b{name}\b", stub), name
        if name != "__version__":
            assert f"{name}(" in page or f"`{name}`" in page, name
    with pytest.raises(AttributeError, match="no attribute 'lod'"):
        raysearch.lod  # noqa: B018 - reading the attribute is the test


def test_paths_pil_images_and_arrays_give_the_same_probabilities(small_set: Path, tmp_path: Path) -> None:
    model = raysearch.load(small_set)
    pictures = [digit(0, 16), digit(1, 40).convert("L"), digit(2, 8).convert("RGB")]
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for picture, path in zip(pictures, paths, strict=True):
        picture.save(path)
    of_paths = model.predict_proba(paths)
    assert of_paths.shape == (3, len(model.classes))
    np.testing.assert_allclose(of_paths.sum(1), 1)
    np.testing.assert_allclose(of_paths, model.predict_proba(pictures), **CLOSE)
    np.testing.assert_allclose(of_paths, model.predict_proba([np.asarray(picture) for picture in pictures]), **CLOSE)
    np.testing.assert_allclose(
        of_paths, model.predict_proba([str(paths[0]), pictures[1], np.asarray(pictures[2])]), **CLOSE
    )
    np.testing.assert_allclose(of_paths[:1], model.predict_proba(pictures[0]), **CLOSE)
    assert model.predict(paths) == [model.classes[index] for index in of_paths.argmax(1)]


def test_a_block_of_arrays_is_several_images_and_one_grey_array_is_one(small_set: Path) -> None:
    model = raysearch.load(small_set)
    grey = np.asarray(digit(3))
    rgb = np.repeat(grey[..., None], 3, axis=2)
    block = model.predict_proba(np.stack([rgb, 255 - rgb]))
    np.testing.assert_allclose(block[:1], model.predict_proba(grey), **CLOSE)
    assert len(block) == 2
    assert model.predict_proba([]).shape == (0, len(model.classes))


def test_probabilities_are_calibrated_unless_asked_otherwise(small_set: Path) -> None:
    model, checkpoint_set = raysearch.load(small_set), load_set(small_set)
    raw = model.predict_proba(digit(0), calibrated=False)
    np.testing.assert_array_equal(model.predict_proba(digit(0)), checkpoint_set.calibrated(raw))
    assert model.figures["cross_fitted"]["accuracy"] >= 0


@pytest.mark.parametrize(
    ("image", "told"),
    [
        (np.zeros((4, 4), np.float32), r"image 0: an array must be uint8 .* got float32 \[4, 4\]"),
        (np.zeros((4, 4, 4), np.uint8), r"got uint8 \[4, 4, 4\]"),
        (np.zeros((0, 4, 3), np.uint8), r"got uint8 \[0, 4, 3\]"),
        (3, "not iterable"),
        ([3], "image 0: expected a path, a PIL image or a uint8 array, got int"),
    ],
    ids=["float", "RGBA", "empty", "a number", "numbers"],
)
def test_what_is_no_image_is_refused(small_set: Path, image: object, told: str) -> None:
    with pytest.raises((UserError, TypeError), match=told):
        raysearch.load(small_set).predict_proba(image)


def test_every_image_that_cannot_be_read_is_named(small_set: Path, tmp_path: Path) -> None:
    (tmp_path / "torn.png").write_bytes(b"\x89PNG")
    with pytest.raises(DataError) as caught:
        raysearch.load(small_set).predict_proba([tmp_path / "torn.png", digit(0), tmp_path / "none.png"])
    assert ["torn.png" in fault or "none.png" in fault for fault in caught.value.faults] == [True, True]


def test_a_pil_image_whose_file_is_cut_off_or_closed_is_named(small_set: Path, tmp_path: Path) -> None:
    whole = tmp_path / "whole.png"
    digit(0, 64).convert("RGB").save(whole)
    (tmp_path / "cut.png").write_bytes(whole.read_bytes()[:-40])
    cut, closed = Image.open(tmp_path / "cut.png"), Image.open(whole)
    closed.close()
    with pytest.raises(DataError) as caught:
        raysearch.load(small_set).predict_proba([cut, digit(0), closed])
    cut.close()
    assert [fault.partition(": ")[0] for fault in caught.value.faults] == ["image 0", "image 2"]
    assert all(": cannot be decoded: " in fault and "None" not in fault for fault in caught.value.faults)


def test_a_folder_that_is_no_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SetError, match=re.escape(str(tmp_path))):
        raysearch.load(tmp_path)


def test_a_study_is_read_as_plain_objects(small_study: StudyPaths) -> None:
    study = raysearch.open_study(small_study.root)
    assert study.name == "small"
    assert [trial.number for trial in study.trials] == [0, 1, 2]
    values = [trial.value for trial in study.leaderboard]
    assert values == sorted(values, reverse=True)
    assert set(study.ensembles) == {"greedy", "mixed"}
    assert study.ensembles["mixed"].members[0].weight == 0.5
    best = study.leaderboard[0]
    predictions = study.predictions(best.number)
    assert (predictions.view, predictions.classes) == (best.best_view, study.classes)
    accuracy = (predictions.probs.argmax(1) == predictions.labels).mean()
    assert accuracy == pytest.approx(best.views[predictions.view].accuracy)
    assert study.config(1).trial.backbone == "resnet10t"


def test_what_a_study_does_not_have_is_named(small_study: StudyPaths, tmp_path: Path) -> None:
    study = raysearch.open_study(small_study.root)
    with pytest.raises(StudyError, match="no trial 7; known: 0, 1, 2"):
        study.predictions(7)
    with pytest.raises(StudyError, match=r"no predictions of view 'teacher-finl'; did you mean 'teacher-final'\?"):
        study.predictions(0, "teacher-finl")
    with pytest.raises(StudyError, match="no such folder"):
        raysearch.open_study(tmp_path / "none")


def test_a_recipe_that_ships_builds_an_ensemble_by_name(small_study: StudyPaths) -> None:
    ensemble = raysearch.build_ensemble(raysearch.open_study(small_study.root), "uniform")
    assert "uniform" in raysearch.open_study(small_study.root).ensembles
    small_study.ensemble(ensemble.name).unlink()
    with pytest.raises(UserError, match=r"no recipe of this name; did you mean 'uniform'\?"):
        raysearch.build_ensemble(small_study.root, "unifrm")
