import csv
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from small_study import digit_scans

from raysearch.config import DataConfig
from raysearch.data.dataset import open_dataset
from raysearch.errors import DataError, UserError
from raysearch.predict.__main__ import command
from raysearch.predict.checkpoint_set import load_set
from raysearch.predict.files import ImageFiles
from raysearch.predict.inputs import LabelledSplit, open_images, open_split

N = 30


@pytest.fixture
def loose(small_set: Path, tmp_path: Path) -> Path:
    """The first images of the test split of digits as PNG files, in two subfolders."""
    split = open_dataset(load_set(small_set).manifest.data, 16, ["test"]).splits["test"]
    scans = digit_scans()
    root = tmp_path / "it's [loose]"
    for sample_id in split.sample_ids[:N]:
        folder = root / ("a" if int(sample_id) % 2 else "b")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(scans[int(sample_id)]).save(folder / f"{sample_id}.png")
    return root


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_loose_images_are_predicted_as_in_the_source(small_set: Path, loose: Path, tmp_path: Path) -> None:
    command(small_set, [str(loose)], out=tmp_path / "loose.csv")
    command(small_set, ["digits"], out=tmp_path / "source.csv")
    rows = {Path(row.pop("id")).stem: row for row in read_csv(tmp_path / "loose.csv")}
    source = {row.pop("id"): row for row in read_csv(tmp_path / "source.csv")}
    assert len(rows) == N
    assert len(source) == 1797 - 100  # without the 6 + 4 images per class that the study used
    for name, row in rows.items():
        assert row["prediction"] == source[name]["prediction"]
        for column in ("confidence", "prob_0", "prob_9"):
            assert float(row[column]) == pytest.approx(float(source[name][column]), abs=1e-6)


def test_csv_and_parquet_hold_the_same(small_set: Path, loose: Path, tmp_path: Path) -> None:
    command(small_set, [str(loose)], out=tmp_path / "preds.csv")
    command(small_set, [str(loose)], out=tmp_path / "preds.parquet")
    table = pq.read_table(tmp_path / "preds.parquet")
    assert table.column_names == [
        "id",
        "prediction",
        "confidence",
        "agreement",
        *(f"prob_{name}" for name in range(10)),
    ]
    rows = table.to_pylist()
    written = read_csv(tmp_path / "preds.csv")
    assert rows[0]["id"].startswith("a/")
    assert [{name: str(value) for name, value in row.items()} for row in rows] == [
        {name: value if name in ("id", "prediction") else str(float(value)) for name, value in row.items()}
        for row in written
    ]
    for row in rows:
        probs = {name: row[f"prob_{name}"] for name in "0123456789"}
        assert row["confidence"] == max(probs.values()) == probs[row["prediction"]]
    assert sorted(path.name for path in tmp_path.glob("*preds*")) == ["preds.csv", "preds.parquet"]


def test_without_out_the_first_twenty_rows_are_printed(
    small_set: Path, loose: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command(small_set, [str(loose)])
    printed, progress = capsys.readouterr()
    assert printed.count(".png") == 20
    assert "10 more; --out predictions.csv" in printed
    assert progress == ""


def test_a_file_is_one_image(small_set: Path, loose: Path, tmp_path: Path) -> None:
    path = next(loose.rglob("*.png"))
    command(small_set, [str(path)], out=tmp_path / "one.csv")
    assert [row["id"] for row in read_csv(tmp_path / "one.csv")] == [path.name]


def test_class_folders_are_files_unless_a_split_is_named(small_set: Path, loose: Path) -> None:
    data = load_set(small_set).manifest.data
    assert isinstance(open_images([str(loose)], None, [16], data), ImageFiles)
    small = data.model_copy(update={"train_per_class": 2, "held_out_per_class": 2})
    split = open_images([str(loose)], "train", [16], small)
    assert isinstance(split, LabelledSplit)
    assert len(split.ids) == 4


def test_a_source_is_split_as_the_study_split_it(small_set: Path) -> None:
    data = load_set(small_set).manifest.data
    used = open_dataset(data, 16).splits
    test = open_split("digits", "test", [16], data).dataset.splits["test"]
    assert not set(test.sample_ids) & {*used["train"].sample_ids, *used["held_out"].sample_ids}


@pytest.mark.parametrize(("name", "message"), [("preds.txt", "must end in .csv or .parquet"), ("preds", "'no ending'")])
def test_an_unknown_file_ending_is_refused_before_anything_is_read(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(UserError, match=message.replace(".", r"\.")):
        command(tmp_path / "no set", ["digits"], out=tmp_path / name)


def test_a_missing_split_of_a_source_is_refused(
    small_set: Path, tmp_path: Path, write_parquet: Callable[..., Path]
) -> None:
    root = write_parquet(tmp_path / "source", "val", list("0123456789"))
    with pytest.raises(DataError, match=r"test\.parquet: no such file"):
        command(small_set, [str(root)], out=tmp_path / "preds.csv")


def test_train_and_held_out_of_a_source_are_merged_as_in_the_study(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in (f"{split}/{label}/{split}{i}.png" for split in ("train", "val") for label in "ab" for i in range(3)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(tmp_path / name)
    data = DataConfig(source=str(tmp_path), merged_held_out_per_class=2, seed=1)
    split = open_split(str(tmp_path), "val", [8], data)
    assert split.dataset.splits["held_out"].sample_ids == open_dataset(data, 8).splits["held_out"].sample_ids
    assert len(split.ids) == 4

    shutil.rmtree(tmp_path / "train")
    assert len(open_split(str(tmp_path), "val", [8], data).ids) == 6, "without train there is nothing to merge"
