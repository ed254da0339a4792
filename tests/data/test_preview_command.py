"""`raysearch.preview`."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from raysearch.config import AugmentConfig, MethodConfig, TrialConfig
from raysearch.preview.__main__ import app
from raysearch.preview.rows import build_rows, first_trial
from raysearch.preview.sheet import GAP, HEADER, LINE, TILE, pick_samples
from raysearch.space import load_space

CR = Path(__file__).resolve().parents[2] / "spaces" / "cr.yaml"
SPACE = """
study: tiny
search:
  first:
    - {augment: {policy: randaugment}}
trial:
  image_size: 16
  method: {views: 2}
  augment:
    crop: none
    hflip: 0.0
    policy: {choice: [trivialaugment, randaugment]}
    erasing: {uniform: [0.2, 0.4]}
    mixing: none
"""


def run(*words: object):
    return CliRunner().invoke(app, list(map(str, words)))


@pytest.fixture
def space(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(SPACE)
    return path


def stage(views=2, **augment) -> TrialConfig:
    off = {"crop": "none", "hflip": 0.0, "policy": "none", "erasing": 0.0, "mixing": "none"}
    method = MethodConfig(views=views, beta=0.5 if views == 2 else 0.0)
    return TrialConfig(image_size=16, method=method, augment=AugmentConfig(**{**off, **augment}))


def rows(config: TrialConfig, count=4):
    images = torch.randint(0, 256, (count, 3, 16, 16), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    return images, build_rows(config, images, torch.arange(count) % 2, ["cat", "dog"])


def test_a_sheet_of_both_views_is_written(space: Path, tmp_path: Path) -> None:
    out = tmp_path / "new folder" / "sheet.png"
    result = run(space, "--out", out, "--images", 3, "--data", "digits")
    assert result.exit_code == 0, result.output
    with Image.open(out) as sheet:
        pixels = np.asarray(sheet)
    row = TILE + 2 * GAP
    assert pixels.shape[0] == HEADER + 7 * row + LINE  # the originals; each view without crop, its policy, its erasing
    assert str(out) in result.stdout


def test_a_packaged_space_is_shown_with_whole_images(split_folders: Path, tmp_path: Path) -> None:
    out = tmp_path / "sheet.png"
    words = ("--set", "trial.augment.crop=resized", "--set", "trial.image_size=16", "--images", 2)
    result = run(CR, "--out", out, "--data", split_folders, *words)
    assert result.exit_code == 0, result.output
    assert out.is_file()


def test_the_first_trial_is_shown_and_set_decides_otherwise(space: Path) -> None:
    shown = first_trial(load_space(space)).augment
    assert shown.policy == "randaugment"  # of search.first, not the first option
    assert shown.erasing == pytest.approx(0.3)
    assert first_trial(load_space(space, ["trial.augment.policy=basic"])).augment.policy == "basic"


def test_rows_are_the_active_operations_in_the_order_of_the_training() -> None:
    config = stage(
        crop="pad",
        hflip=0.5,
        policy="randaugment",
        erasing=0.2,
        cutout=0.1,
        mixing="ricap",
        stubborn={"probability": 0.3},
    )
    names = [row.name for row in rows(config)[1]]
    one_view = [
        "crop, padding 4",
        "flip, p 0.5",
        "if stubborn, p 0.3",
        "randaugment",
        "erasing, p 0.2",
        "cutout, p 0.1",
    ]
    assert names == ["original", *(f"view {view}: {name}" for view in (1, 2) for name in [*one_view, "ricap"])]
    assert [row.name for row in rows(stage(views=1))[1]] == ["original", "view 1: no crop"]


def test_a_row_differs_from_the_one_above_by_its_own_operation_only() -> None:
    images, (original, plain, flipped, erased, _, flipped_again, _) = rows(stage(hflip=1.0, erasing=1.0))
    for index, image in enumerate(images.permute(0, 2, 3, 1).numpy()):
        np.testing.assert_array_equal(original.images[index], image)
        np.testing.assert_array_equal(plain.images[index], image)
        np.testing.assert_array_equal(flipped.images[index], image[:, ::-1])
        np.testing.assert_array_equal(flipped_again.images[index], image[:, ::-1])
        is_kept = (erased.images[index] == image[:, ::-1]).all(2)
        assert 0.3 < is_kept.mean() < 1


def test_crops_of_a_row_stay_when_the_flip_follows() -> None:
    _, (_, cropped, flipped, *_) = rows(stage(views=1, crop="pad", hflip=1.0))
    for before, after in zip(cropped.images, flipped.images, strict=True):
        np.testing.assert_array_equal(before[:, ::-1], after)


@pytest.mark.parametrize("mixing", ["mixup", "cutmix", "ricap"])
def test_captions_name_the_mixed_targets_and_add_up(mixing: str) -> None:
    _, shown = rows(stage(mixing=mixing), count=6)
    assert shown[0].captions == ["cat", "dog"] * 3
    mixed = [row for row in shown if row.name.endswith(mixing)]
    assert [row.name[:6] for row in mixed] == ["view 1", "view 2"]
    assert mixed[0].captions == mixed[1].captions
    for caption in mixed[0].captions:
        parts = [part.split() for part in caption.split(" / ")]
        assert {name for name, _ in parts} <= {"cat", "dog"}
        assert sum(float(share) for _, share in parts) == pytest.approx(1, abs=0.011)
        assert [share for _, share in parts] == sorted((share for _, share in parts), reverse=True)


def test_images_are_picked_evenly_from_the_classes() -> None:
    labels = np.repeat(np.arange(10), 3)
    assert labels[pick_samples(labels, 4)].tolist() == [0, 3, 6, 9]
    assert labels[pick_samples(labels, 12)].tolist() == [0, 0, 1, 1, *range(2, 10)]
    assert len(set(pick_samples(labels, 24).tolist())) == 24
    assert len(pick_samples(labels, 99)) == 30


def test_mistakes_are_reported_with_exit_code_2(space: Path, tmp_path: Path) -> None:
    here = (space, "--out", "a.png")
    for words, told in {
        (tmp_path / "none.yaml", "--out", "a.png"): "none.yaml: no such file, and no space of this name",
        (space, "--out", "a.jpg"): "--out: expected a name ending in .png, got 'a.jpg'",
        (*here, "--set", "trial.augment.polcy=none"): "did you mean 'trial.augment.policy'",
        (*here, "--set", "data.stored_side=4"): "data.stored_side: input should be greater than or equal to 8",
        (*here, "--data", tmp_path / "nowhere"): "no such folder",
    }.items():
        result = run(*words)
        assert result.exit_code == 2, result.output
        assert told in result.stderr
        assert not result.stdout
    assert run(space, "--out", "a.png", "--images", 0).exit_code == 2
