"""Splits for sources without their own splits."""

from collections.abc import Callable
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raysearch.config import DataConfig
from raysearch.data.dataset import open_dataset
from raysearch.data.sources import available_splits
from raysearch.data.splitting import SplitSizes, divide
from raysearch.errors import DataError

ALL = ("train", "held_out", "test")
HALVES = SplitSizes(None, None)


@settings(max_examples=25)
@given(st.lists(st.integers(2, 40), min_size=1, max_size=4), st.integers(0, 99), st.randoms())
def test_each_image_lands_in_one_split_whatever_the_order(sizes: list[int], seed: int, random) -> None:
    ids = {f"c{c}": [f"c{c}/{i}" for i in range(n)] for c, n in enumerate(sizes)}
    parts, faults = divide(ids, HALVES, seed, "here")
    assert not faults
    assert sorted(chain(*parts.values())) == sorted(chain(*ids.values()))
    for c, n in enumerate(sizes):
        counts = [sum(sample_id.startswith(f"c{c}/") for sample_id in parts[split]) for split in ALL]
        assert counts[:2] == [max(1, n // 2), max(1, n // 4)]
    shuffled = {name: random.sample(members, len(members)) for name, members in reversed(ids.items())}
    assert divide(shuffled, HALVES, seed, "here")[0] == parts


@pytest.mark.parametrize(("train", "counts"), [(None, [3, 4]), (5, [5, 2])])
def test_without_a_test_split_every_image_is_in_train_or_held_out(train, counts) -> None:
    parts, faults = divide({"c": "1234567"}, SplitSizes(train, None, has_test=False), 0, "here")
    assert not faults
    assert [len(parts[split]) for split in ALL] == [*counts, 0]


def test_digits_without_a_test_split_are_all_labelled() -> None:
    config = DataConfig(has_test=False)
    assert sum(open_dataset(config, 16, ALL[:2]).counts.values()) == 1797
    assert available_splits(config) == ("train", "held_out")


def test_another_seed_gives_another_split() -> None:
    ids = {"c": [str(i) for i in range(40)]}
    assert divide(ids, HALVES, 0, "here")[0]["train"] != divide(ids, HALVES, 1, "here")[0]["train"]


def test_every_class_that_is_too_small_is_named() -> None:
    _, faults = divide({"a": "123", "b": "1234", "c": "1"}, SplitSizes(3, 1), 0, "here")
    assert [fault.split(":")[1] for fault in faults] == [" class 'a'", " class 'c'"]
    assert "needs 3 train and 1 held_out images, got 1" in faults[1]


def test_digits_come_in_the_papers_small_split() -> None:
    dataset = open_dataset(DataConfig(), 32, ALL)
    assert dataset.counts == {"train": 200, "held_out": 200, "test": 1397}
    assert dataset.classes == tuple("0123456789")
    for name in ("train", "held_out"):
        assert np.bincount(dataset.splits[name].labels).tolist() == [20] * 10
    ids = [sample_id for split in dataset.splits.values() for sample_id in split.sample_ids]
    assert sorted(ids) == [f"{row:04d}" for row in range(1797)]


def test_digits_are_the_scans_scaled_to_eight_bits() -> None:
    from sklearn.datasets import load_digits

    scans = load_digits()
    split = open_dataset(DataConfig(), 8).splits["train"]
    rows = [int(sample_id) for sample_id in split.sample_ids]
    expected = np.round(scans.images[rows] * 255 / 16).astype(np.uint8)
    np.testing.assert_array_equal(split.images, np.repeat(expected[..., None], 3, axis=3))
    np.testing.assert_array_equal(split.labels, scans.target[rows])


def test_digits_split_by_the_config() -> None:
    config = DataConfig(train_per_class=5, held_out_per_class=7, seed=3)
    assert open_dataset(config, 8, ALL).counts == {"train": 50, "held_out": 70, "test": 1797 - 120}
    default, other = (open_dataset(DataConfig(seed=seed), 8) for seed in (0, 1))
    assert default.splits["train"].sample_ids != other.splits["train"].sample_ids
    assert default.fingerprint != other.fingerprint
    with pytest.raises(DataError, match="class '8'") as caught:
        open_dataset(DataConfig(train_per_class=170), 8)
    assert len(caught.value.faults) == len(set(caught.value.faults))


def test_one_folder_of_classes_is_split_stratified(make_images: Callable[..., Path]) -> None:
    root = make_images(*(f"{c}/{i}.png" for c in ("cat", "dog") for i in range(8)), "dog/nested/8.png")
    dataset = open_dataset(DataConfig(source=str(root)), 8, ALL)
    assert dataset.classes == ("cat", "dog")
    counts = {name: np.bincount(split.labels).tolist() for name, split in dataset.splits.items()}
    assert counts == {"train": [4, 4], "held_out": [2, 2], "test": [2, 3]}
    ids = [sample_id for split in dataset.splits.values() for sample_id in split.sample_ids]
    assert "dog/nested/8.png" in ids
    assert len(set(ids)) == 17
    alone = open_dataset(DataConfig(source=str(root)), 8, ("test",)).splits["test"]
    assert alone.sample_ids == dataset.splits["test"].sample_ids


def test_one_folder_split_by_counts_may_leave_no_test(make_images: Callable[..., Path]) -> None:
    root = make_images(*(f"{c}/{i}.png" for c in ("cat", "dog") for i in range(4)))
    config = DataConfig(source=str(root), train_per_class=3, held_out_per_class=1)
    assert available_splits(config) == ("train", "held_out")
    assert open_dataset(config, 8).counts == {"train": 6, "held_out": 2}
    with pytest.raises(DataError, match="no images in split test"):
        open_dataset(config, 8, ("test",))


def test_a_class_called_train_is_a_class(make_images: Callable[..., Path]) -> None:
    root = make_images(*(f"{c}/{i}.png" for c in ("train", "plane") for i in range(4)))
    assert open_dataset(DataConfig(source=str(root)), 8).classes == ("plane", "train")
