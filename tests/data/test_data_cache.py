"""Images are decoded once, and an outdated cache is never used."""

import multiprocessing
import os
import shutil
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import raysearch.data.cache
from raysearch.config import DataConfig
from raysearch.data.dataset import Dataset, open_dataset
from raysearch.errors import DataError


def refuse_to_decode(stored: bytes) -> None:
    raise AssertionError("decoded again")


@pytest.fixture
def no_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raysearch.data.cache, "decode", refuse_to_decode)


def same(a: Dataset, b: Dataset) -> bool:
    pairs = [(a.splits[name], b.splits[name]) for name in a.splits]
    return a.fingerprint == b.fingerprint and all(
        x.sample_ids == y.sample_ids and (x.labels == y.labels).all() and (x.images == y.images).all() for x, y in pairs
    )


@pytest.mark.parametrize("source", ["digits", "folder"])
def test_second_opening_decodes_nothing(source: str, split_folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = DataConfig(source=str(split_folders) if source == "folder" else source)
    first = open_dataset(config, 8)
    monkeypatch.setattr(raysearch.data.cache, "decode", refuse_to_decode)
    assert same(first, open_dataset(config, 8))
    assert open_dataset(config, 8, ("held_out",)).splits["held_out"].sample_ids
    with pytest.raises(AssertionError, match="decoded again"):
        open_dataset(config, 9)


def test_second_opening_is_fast(shared: Path) -> None:
    config = DataConfig(source=str(shared / "cifar10"))
    open_dataset(config, 32)
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        open_dataset(config, 32)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.2  # about 0.01 s; room for a busy machine


@pytest.mark.parametrize("keeps_time", [False, True])
def test_a_changed_file_is_read_again(split_folders: Path, keeps_time: bool) -> None:
    config = DataConfig(source=str(split_folders))
    first = open_dataset(config, 8)
    changed = split_folders / "train/cat/a.png"
    stat = changed.stat()
    shutil.copyfile(split_folders / "test/cat/a.png", changed)
    if keeps_time:
        os.utime(changed, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    second = open_dataset(config, 8)
    assert second.fingerprint != first.fingerprint
    assert (second.splits["train"].images[0] != first.splits["train"].images[0]).any()
    assert (second.splits["train"].images[1:] == first.splits["train"].images[1:]).all()


def test_added_and_removed_files_are_noticed(split_folders: Path) -> None:
    config = DataConfig(source=str(split_folders))
    assert open_dataset(config, 8).counts["train"] == 4
    (split_folders / "train/cat/a.png").unlink()
    assert open_dataset(config, 8).counts["train"] == 3
    shutil.copy(split_folders / "test/cat/a.png", split_folders / "train/cat/c.png")
    assert open_dataset(config, 8).counts["train"] == 4


def test_faulty_images_are_not_remembered_as_good(split_folders: Path) -> None:
    (split_folders / "train/cat/a.png").write_bytes(b"")
    for _ in range(2):
        with pytest.raises(DataError, match="empty file"):
            open_dataset(DataConfig(source=str(split_folders)), 8)


def test_images_are_mapped_not_copied() -> None:
    open_dataset(DataConfig(), 32)
    before = pa.total_allocated_bytes()
    dataset = open_dataset(DataConfig(), 32)
    assert pa.total_allocated_bytes() - before < dataset.splits["train"].images.nbytes / 10
    with pytest.raises(ValueError, match="read-only"):
        dataset.splits["train"].images[0] = 0


@pytest.mark.parametrize("damage", ["empty", "cut", "flipped", "text", "no checksum"])
def test_a_damaged_cache_is_built_again(
    split_folders: Path, cache: Path, damage: str, request: pytest.FixtureRequest
) -> None:
    config = DataConfig(source=str(split_folders))
    first = open_dataset(config, 8)
    expected = {name: np.array(split.images) for name, split in first.splits.items()}
    files = sorted(cache.glob("*.arrow"))
    assert len(files) == 2
    for file in files:
        content = bytearray(file.read_bytes())
        file.unlink()  # a mapped file must not change under its readers
        if damage == "flipped":
            content[len(content) // 2] ^= 255
        file.write_bytes({"empty": b"", "cut": content[:-100], "text": b"garbage"}.get(damage, content))
        if damage == "no checksum":
            file.with_suffix(".crc32").unlink()
    again = open_dataset(config, 8)
    assert again.fingerprint == first.fingerprint
    for name, images in expected.items():
        np.testing.assert_array_equal(again.splits[name].images, images)
    request.getfixturevalue("no_decoder")
    open_dataset(config, 8)


def open_in_process(source: str) -> str | None:
    return open_dataset(DataConfig(source=source), 16).fingerprint


def test_two_processes_may_fill_the_cache_at_once(split_folders: Path, cache: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        fingerprints = pool.map(open_in_process, [str(split_folders)] * 4, chunksize=1)
    assert set(fingerprints) == {open_in_process(str(split_folders))}
    assert sorted(file.suffix for file in cache.iterdir()) == [".arrow", ".arrow", ".crc32", ".crc32"]


def test_a_cache_that_cannot_be_written_is_a_clear_error(
    split_folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("RAYSEARCH_CACHE", str(tmp_path / "file"))
    with pytest.raises(DataError, match=r"the cache cannot be written.*set RAYSEARCH_CACHE"):
        open_dataset(DataConfig(source=str(split_folders)), 8)
