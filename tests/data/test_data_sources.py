"""Folders and Parquet files with their own splits."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from raysearch.config import DataConfig
from raysearch.data.dataset import open_dataset
from raysearch.data.images import prepare_image
from raysearch.data.records import split_name
from raysearch.data.sources import available_splits
from raysearch.errors import DataError
from raysearch.io import sha256

ALL = ("train", "val", "test")


def listing(root: Path) -> list[tuple[str, int, int]]:
    paths = [root, *sorted(root.rglob("*"))]
    return [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in paths]


def write_parquet(root: Path, split: str, folder: Path, paths: list[str | None] | None = None) -> None:
    files = sorted(folder.rglob("*.png"))
    images = [
        {"bytes": file.read_bytes(), "path": path}
        for file, path in zip(files, paths or [file.name for file in files], strict=True)
    ]
    names = ["dog", "cat"]
    features = {"label": {"_type": "ClassLabel", "names": names}, "image": {"_type": "Image"}}
    labels = [names.index(file.parent.name) for file in files]
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    table = pa.table({"image": pa.array(images, kind), "label": labels})
    root.mkdir(exist_ok=True)
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    pq.write_table(table.replace_schema_metadata(metadata), root / f"{split}.parquet")


def test_val_is_another_name_of_held_out() -> None:
    assert [split_name(name) for name in ("train", "val", "held_out", "test")] == [
        "train", "held_out", "held_out", "test",
    ]  # fmt: skip
    with pytest.raises(DataError, match="did you mean 'train'"):
        split_name("trian")
    with pytest.raises(DataError, match="known: held_out, test, train, val"):
        split_name("xyz")


def test_a_folder_with_splits_is_read_and_not_modified(split_folders: Path) -> None:
    before = listing(split_folders)
    dataset = open_dataset(DataConfig(source=str(split_folders)), 8, ALL)
    assert dataset.counts == {"train": 4, "held_out": 4, "test": 4}
    held_out = dataset.splits["held_out"]
    assert held_out.sample_ids == ("val/cat/a.png", "val/cat/b.png", "val/dog/a.png", "val/dog/b.png")
    assert held_out.labels.tolist() == [0, 0, 1, 1]
    assert held_out.labels.dtype == np.int64
    with Image.open(split_folders / "val/dog/a.png") as image:
        np.testing.assert_array_equal(held_out.images[2], prepare_image(image, 8))
    assert not held_out.images.flags.writeable
    assert listing(split_folders) == before


def test_fingerprint_is_the_documented_hash(split_folders: Path) -> None:
    config = DataConfig(source=str(split_folders))
    rows = [
        [ours, f"{theirs}/{c}/{i}.png", c, sha256(split_folders / theirs / c / f"{i}.png")]
        for ours, theirs in (("held_out", "val"), ("train", "train"))
        for c in ("cat", "dog")
        for i in "ab"
    ]
    expected = hashlib.sha256(json.dumps(rows).encode()).hexdigest()
    assert open_dataset(config, 8).fingerprint == expected
    assert open_dataset(config, 16, ("test", "val", "train")).fingerprint == expected
    assert open_dataset(config, 8, ("train",)).fingerprint is None


def test_only_the_requested_split_needs_to_exist(make_images: Callable[..., Path]) -> None:
    root = make_images("test/cat/a.png", "test/dog/b.png")
    config = DataConfig(source=str(root))
    assert available_splits(config) == ("test",)
    dataset = open_dataset(config, 8, ("test",))
    assert dataset.counts == {"test": 2}
    assert dataset.fingerprint is None
    with pytest.raises(DataError, match="val: no such folder, so no split held_out; found test/"):
        open_dataset(config, 8, ("val", "test"))


def test_parquet_gives_the_declared_order_of_classes(split_folders: Path, tmp_path: Path) -> None:
    root = tmp_path / "parquet"
    write_parquet(root, "test", split_folders / "test", paths=["0", "1", "2", "3"])
    config = DataConfig(source=str(root))
    assert available_splits(config) == ("test",)
    dataset = open_dataset(config, 8, ("test",))
    assert dataset.classes == ("dog", "cat")
    assert dataset.splits["test"].sample_ids == ("0", "1", "2", "3")
    assert dataset.splits["test"].labels.tolist() == [1, 1, 0, 0]
    with pytest.raises(DataError, match=r"train\.parquet: no such file, so no split train; found test\.parquet"):
        open_dataset(config, 8, ("train", "test"))


@pytest.mark.parametrize("paths", [["a", "b", "a", "c"], ["a", "b", "", "c"], ["a", "b", None, "c"]])
def test_parquet_rows_without_unique_paths_are_numbered(
    split_folders: Path, tmp_path: Path, paths: list[str | None]
) -> None:
    write_parquet(tmp_path / "parquet", "val", split_folders / "val", paths)
    dataset = open_dataset(DataConfig(source=str(tmp_path / "parquet")), 8, ("val",))
    assert dataset.splits["held_out"].sample_ids == tuple(f"held_out/{row}" for row in range(4))


def test_parquet_and_folder_of_the_same_bytes_agree(shared: Path, extracted: Callable[[str], Path]) -> None:
    before = listing(shared / "cifar10")
    parquet = open_dataset(DataConfig(source=str(shared / "cifar10")), 32)
    folder = open_dataset(DataConfig(source=str(extracted("cifar10"))), 32)
    assert parquet.counts == folder.counts == {"train": 500, "held_out": 500}
    assert parquet.classes == folder.classes
    for name in ("train", "held_out"):
        ours, theirs = ([images_of(dataset.splits[name], c) for c in range(10)] for dataset in (parquet, folder))
        assert ours == theirs
        assert [len(images) for images in ours] == [50] * 10
    assert parquet.fingerprint != folder.fingerprint  # other sample ids
    assert listing(shared / "cifar10") == before


def images_of(split, label: int) -> list[bytes]:
    return sorted(image.tobytes() for image in split.images[split.labels == label])


@pytest.mark.parametrize("kind", ["folder", "parquet"])
def test_split_settings_are_refused_for_a_source_with_its_own_splits(
    split_folders: Path, tmp_path: Path, kind: str
) -> None:
    root = split_folders
    if kind == "parquet":
        root = tmp_path / "parquet"
        write_parquet(root, "train", split_folders / "train")
        write_parquet(root, "val", split_folders / "val")
    config = DataConfig(source=str(root), train_per_class=1, held_out_per_class=1)
    with pytest.raises(DataError) as caught:
        open_dataset(config, 8)
    assert [fault.split(":")[0] for fault in caught.value.faults] == [
        "data.train_per_class",
        "data.held_out_per_class",
    ]
    assert all("remove" in fault for fault in caught.value.faults)


def test_a_source_may_be_read_only(split_folders: Path) -> None:
    folders = [split_folders, *(path for path in split_folders.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    try:
        assert open_dataset(DataConfig(source=str(split_folders)), 8).counts["train"] == 4
    finally:
        for folder in folders:
            folder.chmod(0o755)
