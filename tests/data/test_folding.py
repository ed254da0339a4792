from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from raysearch.config import DataConfig
from raysearch.data import cache
from raysearch.data.dataset import Dataset, open_dataset
from raysearch.errors import DataError

SIZES = {"cat": (5, 2), "dog": (6, 4), "emu": (3, 5)}
"""Images per class in train and val"""


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for name, sizes in SIZES.items():
        for split, count in zip(("train", "val"), sizes, strict=True):
            folder = tmp_path / split / name
            folder.mkdir(parents=True)
            for index in range(count):
                pixels = rng.integers(256, size=(8, 8, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{split}-{index}.png")
    return tmp_path


def opened(source: Path | str, folds: int, fold: int | None, **more: object) -> Dataset:
    return open_dataset(DataConfig.model_validate({"source": str(source), "folds": folds, "fold": fold, **more}), 8)


@pytest.mark.parametrize("folds", [2, 3, 7])
def test_every_labelled_image_is_held_out_once_and_learned_from_otherwise(pictures, folds):
    datasets = [opened(pictures, folds, fold) for fold in range(folds)]
    held_out = [set(dataset.splits["held_out"].sample_ids) for dataset in datasets]
    everything = set.union(*held_out)
    assert len(everything) == sum(map(sum, SIZES.values())) == sum(map(len, held_out))
    for dataset, part in zip(datasets, held_out, strict=True):
        assert set(dataset.splits["train"].sample_ids) == everything - part


def test_folds_are_alike_in_size_and_in_every_class(pictures):
    counts = [Counter(opened(pictures, 3, fold).splits["held_out"].labels.tolist()) for fold in range(3)]
    for label in range(len(SIZES)):
        assert max(c[label] for c in counts) - min(c[label] for c in counts) <= 1
    totals = [sum(c.values()) for c in counts]
    assert max(totals) - min(totals) <= 1


def test_all_folds_have_one_fingerprint_and_other_settings_have_another(pictures):
    same = {opened(pictures, 3, fold).fingerprint for fold in (None, 0, 1, 2)}
    others = {open_dataset(DataConfig(source=str(pictures)), 8).fingerprint, opened(pictures, 2, 0).fingerprint}
    assert len(same) == 1
    assert len(same | others) == 3


def test_another_seed_gives_other_folds(pictures):
    first, second = (set(opened(pictures, 2, 0, seed=seed).splits["held_out"].sample_ids) for seed in (0, 1))
    assert first != second


def test_without_a_fold_the_first_is_used(pictures):
    assert (
        opened(pictures, 3, None).splits["held_out"].sample_ids == opened(pictures, 3, 0).splits["held_out"].sample_ids
    )


def test_folds_of_digits_keep_the_test_split():
    plain, folded = (open_dataset(DataConfig(folds=folds), 8, ["train", "test"]) for folds in (None, 4))
    assert plain.splits["test"].sample_ids == folded.splits["test"].sample_ids
    assert not set(folded.splits["train"].sample_ids) & set(folded.splits["test"].sample_ids)
    assert folded.counts["train"] == 300  # three quarters of 40 a class


def test_more_folds_than_a_class_has_images_name_the_class(pictures):
    assert opened(pictures, 7, 0).counts["held_out"] == 4
    with pytest.raises(DataError) as caught:
        opened(pictures, 8, 0)
    assert [fault.split(": ", 1)[1] for fault in caught.value.faults] == [
        "class 'cat' has 7 images in train and held_out together, fewer than data.folds, got 8; lower data.folds, or "
        "add images"
    ]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"folds": 3, "fold": 3}, "fold must be below folds, got fold 3 and folds 3"),
        ({"fold": 0}, "fold must be below folds, got fold 0 and folds None"),
        ({"folds": 3, "merged_held_out_per_class": 1}, "exclude each other, got 3 and 1"),
        ({"folds": 1}, "greater than or equal to 2"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(values, message):
    with pytest.raises(ValidationError, match=message):
        DataConfig.model_validate(values)


def test_no_image_is_decoded_once_per_fold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYSEARCH_CACHE", str(tmp_path))
    decoded: list[str] = []
    decode = cache._decode

    def counted(record, keep):
        decoded.append(record.sample_id)
        return decode(record, keep=keep)

    monkeypatch.setattr(cache, "_decode", counted)
    for fold in range(4):
        folds = DataConfig(train_per_class=3, held_out_per_class=2, folds=4, fold=fold)
        for whole in (False, True):
            dataset = open_dataset(folds, 16, whole_train=whole)
            plain = open_dataset(folds.model_copy(update={"folds": None, "fold": None}), 16)
            images = dict(zip(dataset.splits["held_out"].sample_ids, dataset.splits["held_out"].images, strict=True))
            for split in plain.splits.values():
                for sample_id, image in zip(split.sample_ids, split.images, strict=True):
                    assert np.array_equal(images.get(sample_id, image), image)
    squares, wholes = 50, 50
    assert len(decoded) == squares + wholes
