"""Whole train images for random resized crops."""

import io
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pydantic import ValidationError

import raysearch.data.cache
import raysearch.data.whole
from raysearch.config import DataConfig
from raysearch.data.dataset import Split, open_dataset
from raysearch.data.images import decode
from raysearch.data.whole import WholeImages
from raysearch.errors import DataError

STORAGES = ("decoded", "jpeg", "auto")


def saved(root: Path, name: str, size: tuple[int, int], **how) -> Path:
    """A smooth picture, of which JPEG loses little."""
    down, across = np.mgrid[0 : size[1], 0 : size[0]]
    pixels = np.stack([down * 5 % 256, across * 3 % 256, (down + across) % 256], 2).astype(np.uint8)
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **how)
    return path


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Two classes; the train images of class a are 40 x 30, 3 x 400, 20 x 24 and one that lies on its side."""
    root = tmp_path / "a source"
    saved(root, "train/a/0.png", (40, 30))
    saved(root, "train/a/1.png", (400, 3))
    saved(root, "train/a/2.jpg", (20, 24), quality=80)
    exif = Image.Exif()
    exif[0x0112] = 6
    saved(root, "train/a/3.jpg", (20, 16), exif=exif)
    saved(root, "train/b/0.png", (17, 19))
    for name in "ab":
        saved(root, f"val/{name}/0.png", (31 if name == "a" else 33, 29))
    return root


def whole(source: Path, size: int = 16, **settings) -> Split:
    dataset = open_dataset(DataConfig(source=str(source), **settings), size, whole_train=True)
    return dataset.splits["train"]


@pytest.mark.parametrize("storage", STORAGES)
def test_whole_images_keep_their_shape_and_stand_upright(source: Path, storage: str) -> None:
    train = whole(source, stored_side=20, storage=storage)
    assert isinstance(train.images, WholeImages)
    assert len(train.images) == len(train) == 5
    shapes = [image.shape for image in train.images[np.arange(5)]]
    assert shapes == [(20, 27, 3), (3, 400, 3), (24, 20, 3), (20, 16, 3), (19, 17, 3)]
    assert train.sample_ids[3] == "train/a/3.jpg"
    assert train.labels.tolist() == [0, 0, 0, 0, 1]


def test_decoded_images_are_the_decoded_files_and_larger_ones_are_shrunk(source: Path) -> None:
    images = whole(source, stored_side=20, storage="decoded").images[np.arange(5)]
    files = [decode((source / name).read_bytes()) for name in ("train/a/0.png", "train/a/3.jpg", "train/b/0.png")]
    np.testing.assert_array_equal(images[0], np.asarray(files[0].resize((27, 20), Image.Resampling.BICUBIC)))
    np.testing.assert_array_equal(images[3], np.asarray(files[1]))
    np.testing.assert_array_equal(images[4], np.asarray(files[2]))


def test_the_short_side_is_eight_sevenths_of_the_image_size_unless_given(source: Path) -> None:
    assert whole(source, size=21).images[np.array([0])][0].shape == (24, 32, 3)
    assert whole(source, size=7).images[np.array([0])][0].shape == (8, 11, 3)
    assert whole(source, size=7, stored_side=10).images[np.array([0])][0].shape == (10, 13, 3)


def test_jpeg_keeps_the_files_of_the_source_that_are_small_and_upright(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[int, int]] = []
    encode = raysearch.data.whole._encode_jpeg
    monkeypatch.setattr(raysearch.data.whole, "_encode_jpeg", lambda image: made.append(image.size) or encode(image))
    train = whole(source, stored_side=20, storage="jpeg")
    assert sorted(made) == [(16, 20), (17, 19), (27, 20), (400, 3)]  # not 2.jpg; 3.jpg was turned
    exact = np.asarray(decode((source / "train/a/2.jpg").read_bytes()))
    np.testing.assert_array_equal(train.images[np.array([2])][0], exact)
    turned = np.asarray(decode((source / "train/a/3.jpg").read_bytes()))
    assert np.abs(train.images[np.array([3])][0].astype(int) - turned).mean() < 8


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_jpeg_of_other_colours_comes_out_as_in_the_decoded_form(source: Path, mode: str) -> None:
    with Image.open(source / "train/a/2.jpg") as image:
        image.convert(mode).save(source / "train/a/2.jpg", quality=95)
    decoded, jpeg = (whole(source, storage=storage).images[np.array([2])][0] for storage in ("decoded", "jpeg"))
    assert np.abs(decoded.astype(int) - jpeg).mean() < 8


def test_auto_is_decoded_until_it_takes_too_much(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded_bytes = 3 * (20 * 27 + 400 * 3 + 24 * 20 + 20 * 16 + 17 * 19)
    for limit, storage in ((decoded_bytes, b"decoded"), (decoded_bytes - 1, b"jpeg")):
        shutil.rmtree(raysearch.data.cache.data_cache(), ignore_errors=True)
        monkeypatch.setattr(raysearch.data.whole, "DECODED_LIMIT_BYTES", limit)
        whole(source, stored_side=20)
        (file,) = raysearch.data.cache.data_cache().glob("*-train-whole-*.arrow")
        assert pa.ipc.open_file(pa.memory_map(str(file))).schema.metadata[b"storage"] == storage


def test_the_fingerprint_is_the_same_in_every_form(source: Path) -> None:
    squares = open_dataset(DataConfig(source=str(source)), 16)
    for storage in STORAGES:
        dataset = open_dataset(DataConfig(source=str(source), storage=storage), 16, whole_train=True)
        assert dataset.fingerprint == squares.fingerprint
        assert dataset.splits["train"].sample_ids == squares.splits["train"].sample_ids
        np.testing.assert_array_equal(dataset.splits["held_out"].images, squares.splits["held_out"].images)


def test_indices_may_repeat_and_come_in_any_order(source: Path) -> None:
    images = whole(source).images
    for got, expected in zip(images[np.array([4, 0, 4, -1])], (4, 0, 4, 4), strict=True):
        np.testing.assert_array_equal(got, images[np.array([expected])][0])
    with pytest.raises(IndexError):
        images[np.array([5])]


def test_images_of_several_batches_of_the_file_are_found(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = whole(source).images[np.arange(5)]
    shutil.rmtree(raysearch.data.cache.data_cache())
    monkeypatch.setattr(raysearch.data.whole, "_BATCH", 2)
    for got, image in zip(whole(source).images[np.arange(5)], expected, strict=True):
        np.testing.assert_array_equal(got, image)


def test_decoded_images_are_mapped_not_copied(source: Path) -> None:
    whole(source)
    before = pa.total_allocated_bytes()
    images = whole(source).images[np.arange(5)]
    assert not any(image.flags.writeable for image in images)
    assert pa.total_allocated_bytes() - before < 3600


@pytest.mark.parametrize("storage", ["decoded", "jpeg"])
@pytest.mark.parametrize("damage", ["empty", "cut", "flipped"])
def test_a_damaged_file_of_whole_images_is_built_again(source: Path, cache: Path, storage: str, damage: str) -> None:
    expected = whole(source, storage=storage).images[np.arange(5)]
    (file,) = cache.glob("*-train-whole-*.arrow")
    content = bytearray(file.read_bytes())
    file.unlink()  # a mapped file must not change under its readers
    content[len(content) // 2] ^= 255
    file.write_bytes({"empty": b"", "cut": content[:-100], "flipped": content}[damage])
    for got, image in zip(whole(source, storage=storage).images[np.arange(5)], expected, strict=True):
        np.testing.assert_array_equal(got, image)


def test_every_faulty_image_is_named_and_nothing_is_kept(source: Path, cache: Path) -> None:
    (source / "train/a/0.png").write_bytes(b"")
    (source / "train/b/0.png").write_text("no image")
    for _ in range(2):
        with pytest.raises(DataError) as caught:
            whole(source)
        assert [fault.split(": ")[0].split("/")[-1] for fault in caught.value.faults] == ["0.png", "0.png"]
        assert not list(cache.glob("*-train-*"))


def test_an_image_beyond_what_jpeg_holds_is_shrunk_to_it(source: Path) -> None:
    saved(source, "train/b/1.png", (70_000, 2))
    (image,) = whole(source, storage="jpeg").images[np.array([5])]
    assert image.shape == (2, 65_500, 3)


@pytest.mark.parametrize("side", [7, 0, -1, 16.0])
def test_an_invalid_stored_side_is_refused(side: object) -> None:
    with pytest.raises(ValidationError, match="stored_side"):
        DataConfig(stored_side=side)


@pytest.mark.parametrize("whole_train", [False, True])
def test_the_same_source_opens_at_another_size(source: Path, whole_train: bool) -> None:
    config = DataConfig(source=str(source), merged_held_out_per_class=1)
    saved(source, "train/b/1.png", (21, 22))
    dataset = open_dataset(config, 14, whole_train=whole_train)
    larger = dataset.resized(28)
    assert larger.counts == dataset.counts
    assert (larger.image_size, larger.fingerprint, larger.whole_train) == (28, dataset.fingerprint, whole_train)
    assert isinstance(larger.splits["train"].images, WholeImages) == whole_train
    assert larger.splits["held_out"].images.shape == (2, 28, 28, 3)
    held_out = dataset.resized(20, ["held_out"])
    assert list(held_out.splits) == ["held_out"]
    assert held_out.fingerprint == dataset.fingerprint
    assert held_out.splits["held_out"].sample_ids == dataset.splits["held_out"].sample_ids


def test_a_source_that_has_changed_since_does_not_open_at_another_size(source: Path) -> None:
    dataset = open_dataset(DataConfig(source=str(source)), 14)
    saved(source, "train/b/1.png", (21, 22))
    with pytest.raises(DataError, match="the images have changed"):
        dataset.resized(28)


def test_shared_odd_files_come_out_whole(extracted: Callable[[str], Path]) -> None:
    root = extracted("broken")
    for bad in (*root.glob("train/dress/bad_*"), root / "train/stray_at_top_level.jpg"):
        bad.unlink()
    for folder in ("train/empty_class", "val/empty_class", "val/only_in_val"):
        shutil.rmtree(root / folder)
    for storage in ("decoded", "jpeg"):
        train = whole(root, size=32, storage=storage)
        images = dict(zip(train.sample_ids, train.images[np.arange(len(train))], strict=True))
        assert images["train/pants/odd_wide_400x3.jpg"].shape == (3, 400, 3)
        assert images["train/pants/odd_1x1.png"].shape == (1, 1, 3)
        turned = images["train/pants/odd_exif_rotate6.jpg"]
        with Image.open(io.BytesIO((root / "train/pants/odd_exif_rotate6.jpg").read_bytes())) as stored:
            assert (turned.shape[0] > turned.shape[1]) != (stored.height > stored.width)
        assert all(min(image.shape[:2]) <= round(32 * 8 / 7) for image in images.values())
