"""One error names all faults of a source."""

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from raysearch.config import DataConfig
from raysearch.data.dataset import open_dataset
from raysearch.errors import DataError


def faults_of(source: Path | str, splits: tuple[str, ...] = ("train", "val")) -> list[str]:
    with pytest.raises(DataError) as caught:
        open_dataset(DataConfig(source=str(source)), 8, splits)
    return caught.value.faults


def test_missing_folder_names_the_nearest_one(split_folders: Path) -> None:
    (fault,) = faults_of(split_folders.with_name("o'clock picture"))
    assert """did you mean "o'clock pictures"?""" in fault
    (fault,) = faults_of("digit")
    assert "did you mean 'digits'?" in fault
    (fault,) = faults_of(split_folders / "train/cat/a.png")
    assert "expected a folder of labelled images" in fault


def test_folder_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "notes.txt").write_text("nothing here")
    (fault,) = faults_of(tmp_path / "bare")
    assert "bare: no images: expected a folder for each class," in fault


def test_several_faults_come_together(split_folders: Path) -> None:
    (split_folders / "train" / "empty").mkdir()
    (split_folders / "train" / "empty" / "notes.txt").write_text("later")
    shutil.copy(split_folders / "test/cat/a.png", split_folders / "val/stray.png")
    shutil.rmtree(split_folders / "val" / "dog")
    shutil.copy(split_folders / "train/cat/b.png", split_folders / "val/cat/twin.png")
    with Image.open(split_folders / "train/dog/a.png") as image:
        image.save(split_folders / "val/cat/other_file_same_pixels.bmp")
    (split_folders / "train/cat/a.png").write_bytes(b"GIF89a")
    (split_folders / "val/cat/b.png").write_text("<html>")
    faults = "\n".join(faults_of(split_folders))
    assert faults.count("\n") == 7
    assert "train/empty: class 'empty' is empty" in faults
    assert "val/stray.png: an image outside any class folder" in faults
    assert "val: class 'dog' is missing from split held_out (images: 2 in train)" in faults
    assert "val: class 'empty' is missing" in faults
    assert "train/cat/a.png: cannot be decoded" in faults
    assert "val/cat/b.png: cannot be decoded: not an image in a known format (6 bytes)" in faults
    assert "train image train/cat/b.png and held_out image val/cat/twin.png are the same" in faults
    assert "train image train/dog/a.png and held_out image val/cat/other_file_same_pixels.bmp are the same" in faults


def test_every_copy_of_an_image_is_named(split_folders: Path) -> None:
    for copy in ("train/cat/copy.png", "val/dog/one.png", "val/dog/two.png"):
        shutil.copy(split_folders / "train/cat/a.png", split_folders / copy)
    assert len(faults_of(split_folders)) == 4


def test_shared_broken_folder_reports_exactly_what_is_known(extracted: Callable[[str], Path]) -> None:
    root = extracted("broken")
    assert sorted(fault.removeprefix(f"{root}/").split(" (")[0] for fault in faults_of(root)) == [
        "train/dress/bad_header_only.jpg: cannot be decoded: Truncated File Read",
        "train/dress/bad_text.jpg: cannot be decoded: not an image in a known format",
        "train/dress/bad_truncated.jpg: cannot be decoded: image file is truncated",
        "train/dress/bad_zero_bytes.jpg: cannot be decoded: empty file",
        "train/empty_class: class 'empty_class' is empty: no images in this folder",
        "train/stray_at_top_level.jpg: an image outside any class folder; move it into one",
        "train: class 'only_in_val' is missing from split train",
        "val/empty_class: class 'empty_class' is empty: no images in this folder",
    ]


def test_shared_broken_folder_opens_after_repair(extracted: Callable[[str], Path]) -> None:
    root = extracted("broken")
    for bad in (*root.glob("train/dress/bad_*"), root / "train/stray_at_top_level.jpg"):
        bad.unlink()
    for folder in ("train/empty_class", "val/empty_class", "val/only_in_val"):
        shutil.rmtree(root / folder)
    dataset = open_dataset(DataConfig(source=str(root)), 16)
    assert dataset.classes == ("dress", "hat", "pants", "shoes")
    assert dataset.counts == {"train": 24 + 1 + 6 + 6 + 7 + 1, "held_out": 16}
    train = dict(zip(dataset.splits["train"].sample_ids, dataset.splits["train"].images, strict=True))
    assert 20 < train["train/hat/odd_gray16.png"].mean() < 250
    assert "train/shoes/nested/nested_ok.jpg" in train
    assert "train/shoes/odd name with spaces é中.jpg" in train


def test_test_images_that_were_trained_on_are_a_warning(split_folders: Path, caplog: pytest.LogCaptureFixture) -> None:
    shutil.copy(split_folders / "train/cat/a.png", split_folders / "test/cat/seen.png")
    with caplog.at_level(logging.WARNING):
        open_dataset(DataConfig(source=str(split_folders)), 8, ("train", "val", "test"))
    (message,) = caplog.messages
    assert "1 images of train are also in test, first train/cat/a.png and test/cat/seen.png" in message


def test_a_class_that_only_test_has_is_a_fault(split_folders: Path) -> None:
    shutil.move(split_folders / "test/cat", split_folders / "test/cow")
    faults = faults_of(split_folders, ("train", "val", "test"))
    assert [fault.split(": ")[1].split(" (")[0] for fault in faults] == [
        "class 'cow' is missing from split train",
        "class 'cow' is missing from split held_out",
        "class 'cat' is missing from split test",
    ]


def parquet(path: Path, table: pa.Table, names: list[str] | None) -> None:
    path.parent.mkdir(exist_ok=True)
    features = {"label": {"_type": "ClassLabel", "names": names}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})} if names else None
    pq.write_table(table.replace_schema_metadata(metadata), path)


def test_parquet_with_wrong_columns_says_what_is_expected(tmp_path: Path) -> None:
    root = tmp_path / "p"
    parquet(root / "train.parquet", pa.table({"img": [b"x"], "label": ["cat"]}), None)
    (root / "val.parquet").write_bytes(b"no parquet at all")
    faults = faults_of(root)
    assert [fault.removeprefix(f"{root}/").split(",")[0] for fault in faults[:3]] == [
        "train.parquet: column 'image' must be struct<bytes: binary",
        "train.parquet: column 'label' must be an integer",
        "train.parquet: no class names: the metadata `huggingface` must contain a ClassLabel `label`",
    ]
    assert "val.parquet: not readable as Parquet" in faults[3]
    assert len(faults) == 4


def test_parquet_rows_are_named(split_folders: Path, tmp_path: Path) -> None:
    root, good = tmp_path / "p", (split_folders / "train/cat/a.png").read_bytes()
    images = [
        {"bytes": good, "path": "fine.png"},
        {"bytes": good[:150], "path": "cut.png"},
        {"bytes": None, "path": "elsewhere.png"},
        {"bytes": good, "path": "label.png"},
    ]
    parquet(root / "train.parquet", pa.table({"image": images, "label": [0, 0, 0, 3]}), ["cat", "dog"])
    parquet(root / "val.parquet", pa.table({"image": images[:1], "label": [0]}), ["dog", "cat"])
    faults = "\n".join(faults_of(root))
    assert "train.parquet: row 1 (cut.png): cannot be decoded" in faults
    assert "train.parquet: row 2 (elsewhere.png): no bytes" in faults
    assert "train.parquet: row 3: label must be in 0..1, got 3" in faults
    assert "train.parquet: class 'dog' is missing: no row has label 1" in faults
    assert "val.parquet: class 'cat' is missing: no row has label 1" in faults
    assert "val.parquet: the classes are ['dog', 'cat'], but those of train.parquet are ['cat', 'dog']" in faults
    assert "train image fine.png and held_out image fine.png are the same" in faults
    assert faults.count("\n") == 6
