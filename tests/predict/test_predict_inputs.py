"""Inputs of raysearch.predict: files, folders and Parquet files, in batches."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from raysearch.config import DataConfig
from raysearch.data.images import prepare_image
from raysearch.errors import DataError
from raysearch.predict import decoding as decoding_module
from raysearch.predict.decoding import choose_batch_size
from raysearch.predict.inputs import Images, LabelledSplit, open_images

SIZES = (8, 12)
DATA = DataConfig()


def picture(seed: int, suffix: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (20, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, suffix)
    return buffer.getvalue()


def write_images(root: Path, *names: str) -> Path:
    for seed, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(picture(seed))
    return root


def write_table(path: Path, images: list[Any], **columns: list[Any]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"image": images, **columns}), path, row_group_size=3)
    return str(path)


def opened(*given: str | Path) -> Images:
    return open_images([str(each) for each in given], None, SIZES, DATA)


def everything(images: Images, faults: list[str] | None = None) -> tuple[list[str], dict[int, np.ndarray]]:
    ids: list[str] = []
    parts: dict[int, list[np.ndarray]] = {size: [] for size in SIZES}
    for batch_ids, batch in images.batches(SIZES, faults if faults is not None else []):
        ids += batch_ids
        for size, pixels in batch.items():
            parts[size].append(pixels)
    return ids, {size: np.concatenate(found) for size, found in parts.items()}


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding_module, "LARGEST_BATCH", 4)


def test_an_id_is_the_path_below_the_folder_that_all_lie_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_images(tmp_path, "a/1.png", "a/deep/2.png", "b/1.png", "b/.hidden.png", "b/notes.txt")
    monkeypatch.chdir(root)
    for given, ids in (
        (["a"], ["1.png", "deep/2.png"]),
        (["a/deep/2.png"], ["2.png"]),
        (["a/1.png", "b/1.png"], ["a/1.png", "b/1.png"]),
        (["b", "a"], ["b/1.png", "a/1.png", "a/deep/2.png"]),
        (["a/deep", "a"], ["deep/2.png", "1.png"]),
        (["a/../b"], ["1.png"]),
        ([root / "b", "a/deep"], ["b/1.png", "a/deep/2.png"]),
    ):
        assert list(opened(*given).ids) == ids, given


def test_the_id_of_a_linked_image_is_the_name_of_the_link(tmp_path: Path) -> None:
    blob = write_images(tmp_path, "blobs/3f2a.png") / "blobs/3f2a.png"
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/cat.png").symlink_to(blob)
    assert list(opened(tmp_path / "photos").ids) == ["cat.png"]


@pytest.mark.usefixtures("small_batches")
def test_every_image_comes_once_in_order_at_every_size_as_training_prepares_it(tmp_path: Path) -> None:
    names = [f"{number:02d}.png" for number in range(11)]
    ids, found = everything(opened(write_images(tmp_path, *names)))
    assert ids == names
    for size in SIZES:
        expected = [prepare_image(Image.open(io.BytesIO(picture(seed))), size) for seed in range(11)]
        np.testing.assert_array_equal(found[size], expected)


@pytest.mark.usefixtures("small_batches")
def test_images_that_cannot_be_read_are_left_out_and_named(tmp_path: Path) -> None:
    names = [f"{number:02d}.png" for number in range(11)]
    root = write_images(tmp_path, *names)
    for name, stored in (("01.png", b""), ("04.png", b"no image"), ("05.png", picture(5)[:200])):
        (root / name).write_bytes(stored)
    for name in ("06.png", "07.png"):
        (root / name).unlink()
        (root / name).symlink_to(root / "nowhere")
    faults: list[str] = []
    ids, found = everything(opened(root), faults)
    assert ids == ["00.png", "02.png", "03.png", "08.png", "09.png", "10.png"]
    assert [len(pixels) for pixels in found.values()] == [6, 6]
    assert [[name for name in names if name in fault] for fault in faults] == [
        ["01.png"],
        ["04.png"],
        ["05.png"],
        ["06.png"],
        ["07.png"],
    ]


def test_a_batch_is_smaller_where_images_are_large() -> None:
    assert choose_batch_size([32]) == 100
    assert choose_batch_size([448, 896]) == 2**27 // (3 * (448**2 + 896**2)) < 100
    assert choose_batch_size([10_000]) == 1


def test_only_one_batch_is_decoded_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding_module, "LARGEST_BATCH", 4)
    root = write_images(tmp_path, *(f"{number:02d}.png" for number in range(12)))
    batches = opened(root).batches(SIZES, [])
    assert next(batches)[0] == ["00.png", "01.png", "02.png", "03.png"]
    for name in ("08.png", "09.png"):  # not read yet
        (root / name).write_bytes(picture(99))
    rest = [batch for _, batch in batches]
    np.testing.assert_array_equal(rest[-1][8][0], rest[-1][8][1])


@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize("columns", [{}, {"label": list(range(9))}], ids=["unlabelled", "labelled"])
def test_a_parquet_file_is_read_with_and_without_labels(tmp_path: Path, columns: dict[str, list[int]]) -> None:
    rows = [{"bytes": picture(seed), "path": f"p/{seed}.png"} for seed in range(9)]
    ids, found = everything(opened(write_table(tmp_path / "any name.parquet", rows, **columns)))
    assert ids == [f"p/{seed}.png" for seed in range(9)]
    expected = [prepare_image(Image.open(io.BytesIO(picture(seed))), 8) for seed in range(9)]
    np.testing.assert_array_equal(found[8], expected)


def test_rows_are_numbered_where_paths_are_missing_or_equal(tmp_path: Path) -> None:
    unnamed = write_table(tmp_path / "x.parquet", [{"bytes": picture(s), "path": None} for s in range(2)])
    named = write_table(tmp_path / "y.parquet", [{"bytes": picture(s), "path": f"{s}.png"} for s in range(2)])
    other = write_table(tmp_path / "z.parquet", [{"bytes": picture(s), "path": f"{s}.png"} for s in range(2)])
    assert everything(opened(unnamed))[0] == ["x/0", "x/1"]
    assert everything(opened(named))[0] == ["0.png", "1.png"]
    assert everything(opened(named, other))[0] == ["y/0", "y/1", "z/0", "z/1"]


@pytest.mark.usefixtures("small_batches")
def test_rows_without_an_image_are_left_out_and_named(tmp_path: Path) -> None:
    rows = [{"bytes": picture(s), "path": f"{s}.png"} for s in range(7)]
    rows[1], rows[2]["bytes"], rows[5]["bytes"] = None, None, b"no image"
    faults: list[str] = []
    ids, _ = everything(opened(write_table(tmp_path / "x.parquet", rows)), faults)
    assert ids == ["x/0", "x/3", "x/4", "x/6"]  # one row has no path, so all are numbered
    assert [fault.split("x.parquet: ")[1] for fault in faults] == [
        "row 1 (x/1): no bytes; the file must contain the image itself",
        "row 2 (x/2): no bytes; the file must contain the image itself",
        "row 5 (x/5): cannot be decoded: not an image in a known format (8 bytes)",
    ]


def test_a_wrong_image_column_is_refused_with_its_type(tmp_path: Path) -> None:
    pq.write_table(pa.table({"img": [1]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"image": ["x.png"]}), tmp_path / "b.parquet")
    (tmp_path / "c.parquet").write_bytes(b"none")
    with pytest.raises(DataError) as caught:
        opened(*(tmp_path / f"{name}.parquet" for name in "abcd"))
    endings = ("got the columns img", "got string", "not readable as Parquet", "no such file")
    assert len(caught.value.faults) == 4
    for fault, name, ending in zip(caught.value.faults, "abcd", endings, strict=True):
        assert f"{name}.parquet: " in fault
        assert ending in fault


def test_all_missing_inputs_are_named_in_one_error(tmp_path: Path) -> None:
    write_images(tmp_path, "photos/a.png")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError) as caught:
        opened(tmp_path / "photo", tmp_path / "photos", tmp_path / "empty")
    assert len(caught.value.faults) == 2
    assert "did you mean 'photos'?" in caught.value.faults[0]
    assert "empty: no images in this folder" in caught.value.faults[1]


def test_parquet_files_and_others_are_not_mixed_and_a_split_goes_with_one_source(tmp_path: Path) -> None:
    root = write_images(tmp_path, "a.png")
    with pytest.raises(DataError, match=r"x\.parquet: Parquet files cannot be mixed with other images"):
        opened(root / "a.png", "x.parquet")
    with pytest.raises(DataError, match="--split test: requires exactly one source, got 2: digits, photos"):
        open_images(["digits", "photos"], "test", SIZES, DATA)


def test_urls_are_refused_and_digits_must_be_the_only_argument() -> None:
    with pytest.raises(DataError, match=r"^https://host/a\.png: is a URL; download the images"):
        opened("https://host/a.png")
    with pytest.raises(DataError, match=r"^digits: a labelled source must be the only argument"):
        opened("digits", "photos")


def test_a_folder_of_parquet_splits_is_a_source(tmp_path: Path, write_parquet: Callable[..., Path]) -> None:
    root = write_parquet(tmp_path / "source", "test", list("0123456789"))
    split = opened(root)
    assert isinstance(split, LabelledSplit)
    assert everything(split)[0] == everything(opened(root / "test.parquet"))[0]


@pytest.fixture
def large_parquet(tmp_path: Path) -> Iterator[str]:
    """One row group of 48 MiB."""
    path = tmp_path / "large.parquet"
    noise = np.random.default_rng(0).bytes(2**14)
    rows = ({"bytes": picture(row % 50) + row.to_bytes(4, "big") + noise, "path": f"{row}.png"} for row in range(3000))
    pq.write_table(pa.table({"image": list(rows)}), path, row_group_size=3000, use_dictionary=False, compression="none")
    yield str(path)
    path.unlink()


def test_a_large_row_group_is_not_held_at_once(large_parquet: str) -> None:
    images = opened(large_parquet)
    before = pa.total_allocated_bytes()
    held = [pa.total_allocated_bytes() - before for _ in images.batches([8], [])]
    assert len(held) == 30
    assert max(held) < Path(large_parquet).stat().st_size / 2
