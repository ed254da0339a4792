"""Train and held_out merged for a final model, with a few images per class held out."""

import shutil
from pathlib import Path

import pytest

from raysearch.config import DataConfig
from raysearch.data.dataset import Dataset, open_dataset
from raysearch.errors import DataError

ALL = ("train", "val", "test")


def ids(dataset: Dataset, *splits: str) -> set[str]:
    return {sample_id for split in splits for sample_id in dataset.splits[split].sample_ids}


@pytest.fixture
def many(make_images) -> Path:
    """Ten train and six val images of each of two classes, and one for test."""
    counts = {"train": 10, "val": 6, "test": 1}
    return make_images(*(f"{s}/{c}/{i}.png" for s, n in counts.items() for c in ("cat", "dog") for i in range(n)))


def merged(source: Path | str, n: int, seed: int = 0, splits: tuple[str, ...] = ALL) -> Dataset:
    return open_dataset(DataConfig(source=str(source), merged_held_out_per_class=n, seed=seed), 8, splits)


def test_the_given_number_per_class_is_held_out_and_the_rest_is_train(many: Path) -> None:
    plain, dataset = open_dataset(DataConfig(source=str(many)), 8, ALL), merged(many, 3)
    assert dataset.counts == {"train": 26, "held_out": 6, "test": 2}
    for split in ("train", "held_out"):
        labels = dataset.splits[split].labels
        assert (labels == 0).sum() == (labels == 1).sum()
    assert ids(dataset, "train", "held_out") == ids(plain, "train", "held_out")
    assert not ids(dataset, "train") & ids(dataset, "held_out")
    assert ids(dataset, "held_out") - ids(plain, "held_out")  # both splits are drawn from
    assert ids(dataset, "test") == ids(plain, "test")
    assert dataset.fingerprint not in (None, plain.fingerprint)
    images = {
        i: image.tobytes() for s in plain.splits.values() for i, image in zip(s.sample_ids, s.images, strict=True)
    }
    for split in dataset.splits.values():
        assert all(images[i] == image.tobytes() for i, image in zip(split.sample_ids, split.images, strict=True))


def test_the_draw_follows_from_the_seed_and_a_larger_one_keeps_the_smaller(many: Path) -> None:
    assert ids(merged(many, 3), "held_out") == ids(merged(many, 3), "held_out")
    assert ids(merged(many, 3), "held_out") != ids(merged(many, 3, seed=1), "held_out")
    assert ids(merged(many, 2), "held_out") < ids(merged(many, 3), "held_out")


def test_one_split_alone_is_the_same_as_with_the_others(many: Path) -> None:
    together = merged(many, 3)
    for split in ("train", "val"):
        (alone,) = merged(many, 3, splits=(split,)).splits.values()
        assert alone.sample_ids == together.splits[alone.name].sample_ids
    assert merged(many, 3, splits=("test",)).counts == {"test": 2}


def test_a_source_that_is_split_here_holds_out_what_it_held_out_before() -> None:
    plain, dataset = open_dataset(DataConfig(), 8, ALL), merged("digits", 5)
    assert dataset.counts == {**plain.counts, "train": 350, "held_out": 50}
    assert ids(dataset, "held_out") < ids(plain, "held_out")
    assert ids(dataset, "train") > ids(plain, "train")


def test_a_folder_of_classes_is_split_and_then_merged(many: Path) -> None:
    for name in ("val", "test"):
        shutil.rmtree(many / name)
    dataset = merged(many / "train", 1)
    assert dataset.counts == {"train": 2 * (5 + 2 - 1), "held_out": 2, "test": 6}


def test_files_whose_rows_have_the_same_ids_are_kept_apart(shared: Path) -> None:
    plain, dataset = open_dataset(DataConfig(source=str(shared / "cifar10")), 8), merged(shared / "cifar10", 4)
    assert dataset.counts["train"] == 1000 - 40
    assert dataset.counts["held_out"] == 40
    assert len(ids(dataset, "train", "held_out")) == 1000
    assert plain.counts == {"train": 500, "held_out": 500}


def test_equal_ids_in_both_splits_get_their_splits_name(shared: Path, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    for name in ("train", "val"):
        table = pq.read_table(shared / "cifar10" / f"{name}.parquet")
        images = [
            {"bytes": image["bytes"], "path": f"{row}.png"} for row, image in enumerate(table["image"].to_pylist())
        ]
        at = table.schema.get_field_index("image")
        pq.write_table(table.set_column(at, table.schema.field("image"), [images]), tmp_path / f"{name}.parquet")
    dataset = merged(tmp_path, 4, splits=("train", "val"))
    assert dataset.counts == {"train": 960, "held_out": 40}
    assert {sample_id.split("/")[0] for sample_id in ids(dataset, "train", "held_out")} == {"train", "held_out"}


def test_holding_out_a_whole_class_is_a_fault(many: Path) -> None:
    for name in range(4, 10):
        (many / f"train/dog/{name}.png").unlink()
    assert merged(many, 9).counts["held_out"] == 18
    with pytest.raises(DataError) as caught:
        merged(many, 10)
    (fault,) = caught.value.faults
    assert "class 'dog' has 10 images in train and held_out together" in fault
    assert "got data.merged_held_out_per_class 10; lower it, or add images" in fault


def test_without_a_held_out_split_the_missing_split_is_named(many: Path) -> None:
    shutil.rmtree(many / "val")
    with pytest.raises(DataError, match="val: no such folder, so no split held_out"):
        merged(many, 1, splits=("train",))


def test_faulty_images_are_named_in_a_merged_split(many: Path) -> None:
    (many / "val/cat/0.png").write_bytes(b"")
    (many / "train/dog/0.png").write_bytes(b"")
    with pytest.raises(DataError) as caught:
        merged(many, 2)
    assert sorted(fault.split(":")[0].split("pictures/")[1] for fault in caught.value.faults) == [
        "train/dog/0.png",
        "val/cat/0.png",
    ]


@pytest.mark.parametrize("n", [None, 1])
def test_a_class_that_only_held_out_has_is_a_fault_before_training(many: Path, n: int | None) -> None:
    shutil.rmtree(many / "train/cat")
    config = DataConfig(source=str(many), merged_held_out_per_class=n)
    with pytest.raises(DataError, match=r"class 'cat' is missing from split train \(images: 6 in val"):
        open_dataset(config, 8)
