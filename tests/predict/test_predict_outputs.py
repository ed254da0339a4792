"""What the command writes: the columns, the files, and what is kept when it breaks off."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from safetensors.torch import load_file, save_file
from small_study import digit_scans

from raysearch.errors import DataError, UserError
from raysearch.io import sha256
from raysearch.predict import decoding as decoding_module
from raysearch.predict.__main__ import command
from raysearch.predict.checkpoint_set import CheckpointSet, load_set
from raysearch.predict.inputs import open_images
from raysearch.predict.progress import PredictedBatch
from raysearch.predict.table import Columns
from raysearch.predict.vipriors import check_submission

N = 30
WNIDS = [f"n{9 * number:08d}" for number in range(1000)]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Scans of digits as PNG files."""
    return write_photos(tmp_path / "photos", [f"{row:02d}.png" for row in range(N)])


def write_photos(root: Path, names: list[str]) -> Path:
    root.mkdir()
    for name, scan in zip(names, digit_scans(), strict=False):
        Image.fromarray(scan).save(root / name, "PNG")
    return root


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def votes(small_set: Path, photos: Path) -> tuple[CheckpointSet, PredictedBatch]:
    """The set, and its predictions for all photos in one batch."""
    loaded = load_set(small_set)
    images = open_images([str(photos)], None, loaded.image_sizes, loaded.manifest.data)
    ((ids, batch),) = images.batches(loaded.image_sizes, [])
    members = loaded.predict_members(batch)
    return loaded, PredictedBatch(ids, members, loaded.vote(members))


def with_temperature(small_set: Path, copy: Path, temperature: float) -> Path:
    shutil.copytree(small_set, copy)
    manifest = json.loads((copy / "ensemble.json").read_text())
    (copy / "ensemble.json").write_text(json.dumps({**manifest, "temperature": temperature}))
    return copy


def test_columns_are_worked_out_as_by_hand() -> None:
    members = np.array([[[0.6, 0.3, 0.1], [0.1, 0.1, 0.8]], [[0.2, 0.7, 0.1], [0.1, 0.4, 0.5]]])
    vote = 0.75 * members[0] + 0.25 * members[1]
    probs = vote**2 / (vote**2).sum(axis=1, keepdims=True)
    table = Columns(("x", "y", "z"), (0.75, 0.25), top_k=2).build_table(
        PredictedBatch(["1", "2"], members, vote), probs
    )
    assert table.to_pylist()[0] == {
        "id": "1",
        "prediction": "x",  # 0.5 against 0.4 and 0.1
        "confidence": pytest.approx(0.25 / 0.42),
        "agreement": 0.75,
        "top1": "x",
        "top1_prob": pytest.approx(0.25 / 0.42),
        "top2": "y",
        "top2_prob": pytest.approx(0.16 / 0.42),
        "prob_x": pytest.approx(0.25 / 0.42),
        "prob_y": pytest.approx(0.16 / 0.42),
        "prob_z": pytest.approx(0.01 / 0.42),
    }
    assert table["prediction"].to_pylist() == ["x", "z"]
    assert table["agreement"].to_pylist() == [0.75, 1.0]
    assert table["top2"].to_pylist() == ["y", "y"]


def test_the_first_of_equally_probable_classes_is_predicted() -> None:
    vote = np.array([[0.25, 0.375, 0.375]])
    table = Columns(("x", "y", "z"), (1.0,), top_k=3).build_table(PredictedBatch(["1"], vote[None], vote), vote)
    assert [table[f"top{k}"][0].as_py() for k in (1, 2, 3)] == ["y", "z", "x"]
    assert table["agreement"][0].as_py() == 1.0


def test_probabilities_are_calibrated_unless_the_raw_vote_is_asked_for(
    small_set: Path, photos: Path, tmp_path: Path
) -> None:
    warm = with_temperature(small_set, tmp_path / "warm", 0.25)
    _, batch = votes(small_set, photos)
    sharper = batch.vote**4 / (batch.vote**4).sum(axis=1, keepdims=True)
    command(warm, [str(photos)], out=tmp_path / "calibrated.parquet")
    command(warm, [str(photos)], out=tmp_path / "raw.parquet", raw=True)
    for name, expected in (("calibrated", sharper), ("raw", batch.vote)):
        table = pq.read_table(tmp_path / f"{name}.parquet")
        found = np.stack([table[f"prob_{digit}"].to_numpy() for digit in range(10)], axis=1)
        np.testing.assert_allclose(found, expected, atol=1e-5)
        assert table["prediction"].to_pylist() == [str(best) for best in batch.vote.argmax(axis=1)]


def test_the_best_classes_and_the_agreement_are_in_the_file(small_set: Path, photos: Path, tmp_path: Path) -> None:
    loaded, batch = votes(small_set, photos)
    command(small_set, [str(photos)], out=tmp_path / "p.csv", top_k=3)
    rows = rows_of(tmp_path / "p.csv")
    assert list(rows[0])[:10] == [
        *("id", "prediction", "confidence", "agreement"),
        *("top1", "top1_prob", "top2", "top2_prob", "top3", "top3_prob"),
    ]
    for number, row in enumerate(rows):
        probs = {name: float(row[f"prob_{name}"]) for name in loaded.classes}
        assert [float(row[f"top{k}_prob"]) for k in (1, 2, 3)] == sorted(probs.values(), reverse=True)[:3]
        assert all(probs[row[f"top{k}"]] == float(row[f"top{k}_prob"]) for k in (1, 2, 3))
        agreeing = [
            m.weight
            for m, p in zip(loaded.members, batch.members[:, number], strict=True)
            if str(p.argmax()) == row["prediction"]
        ]
        assert float(row["agreement"]) == pytest.approx(sum(agreeing))


def test_more_of_the_best_than_there_are_classes_are_refused(small_set: Path, photos: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--top-k: must be at most 10, the number of classes, got 11"):
        command(small_set, [str(photos)], out=tmp_path / "p.csv", top_k=11)


def test_tta_changes_the_probabilities(small_set: Path, photos: Path, tmp_path: Path) -> None:
    modes = (None, "center", "mirror", "tencrop")
    for tta in modes:
        command(small_set, [str(photos)], out=tmp_path / f"{tta}.csv", tta=tta)
    texts = {tta: (tmp_path / f"{tta}.csv").read_text() for tta in modes}
    assert texts[None] == texts["center"]
    assert len(set(texts.values())) == 3
    assert len(rows_of(tmp_path / "tencrop.csv")) == N


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_unreadable_images_are_named_and_the_others_are_written(
    small_set: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], ending: str
) -> None:
    for name in ("03.png", "x.png"):
        (photos / name).write_bytes(b"no image")
    with pytest.raises(DataError) as caught:
        command(small_set, [str(photos)], out=tmp_path / f"p.{ending}")
    assert [("03.png" in fault, "x.png" in fault) for fault in caught.value.faults] == [(True, False), (False, True)]
    assert "29 predictions written to" in (printed := capsys.readouterr().out)
    assert "2 of 31 images left out: they cannot be read" in printed
    table = pq.read_table(tmp_path / "p.parquet").to_pylist() if ending == "parquet" else rows_of(tmp_path / "p.csv")
    assert [row["id"] for row in table] == [f"{row:02d}.png" for row in range(N) if row != 3]


def test_broken_images_are_no_error_if_they_are_to_be_skipped(
    small_set: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "x.png").write_bytes(b"no image")
    command(small_set, [str(photos)], out=tmp_path / "p.csv", skip_broken=True)
    assert len(rows_of(tmp_path / "p.csv")) == N
    assert capsys.readouterr().err.splitlines() == [
        f"skipped: {photos / 'x.png'}: cannot be decoded: not an image in a known format (8 bytes)"
    ]


def test_without_a_file_images_that_cannot_be_read_are_named_if_there_are_no_others(
    tmp_path: Path, small_set: Path
) -> None:
    (tmp_path / "x.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"x\.png: cannot be decoded"):
        command(small_set, [str(tmp_path / "x.png")])


@pytest.mark.parametrize("skip_broken", [False, True])
def test_no_file_is_written_if_no_image_can_be_read(tmp_path: Path, small_set: Path, skip_broken: bool) -> None:
    (tmp_path / "x.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"x\.png: cannot be decoded"):
        command(small_set, [str(tmp_path / "x.png")], out=tmp_path / "p.csv", skip_broken=skip_broken)
    assert [path.name for path in tmp_path.iterdir()] == ["x.png"]


def test_without_a_file_no_more_are_predicted_than_are_shown(
    small_set: Path, photos: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    predicted = []
    whole = CheckpointSet.predict_members

    def predict_members(self: CheckpointSet, images: dict[int, np.ndarray]) -> np.ndarray:
        predicted.append(len(images[16]))
        return whole(self, images)

    monkeypatch.setattr(CheckpointSet, "predict_members", predict_members)
    command(small_set, [str(photos)], top_k=2)
    assert predicted == [20]
    assert "10 more; --out predictions.csv" in capsys.readouterr().out


def test_an_existing_file_is_refused_before_the_set_is_opened(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("mine")
    with pytest.raises(UserError, match=r"p\.csv: already exists; choose another name, or replace it with --overwrite"):
        command(tmp_path / "no set", ["digits"], out=tmp_path / "p.csv")
    with pytest.raises(UserError, match=r"p\.csv: is a folder|p\.csv/x\.csv: cannot be written"):
        command(tmp_path / "no set", ["digits"], out=tmp_path / "p.csv" / "x.csv")
    assert (tmp_path / "p.csv").read_text() == "mine"


def test_overwrite_replaces_the_file(small_set: Path, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("mine")
    command(small_set, [str(photos)], out=tmp_path / "p.csv", overwrite=True)
    assert len(rows_of(tmp_path / "p.csv")) == N


@pytest.fixture
def broken_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of 8 images, and Ctrl-C in the third."""
    monkeypatch.setattr(decoding_module, "LARGEST_BATCH", 8)
    whole, calls = CheckpointSet.predict_members, []

    def predict_members(self: CheckpointSet, images: dict[int, np.ndarray]) -> np.ndarray:
        calls.append(images)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return whole(self, images)

    monkeypatch.setattr(CheckpointSet, "predict_members", predict_members)


@pytest.mark.usefixtures("broken_off")
@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_an_interrupted_run_keeps_the_finished_rows(
    small_set: Path, photos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, ending: str
) -> None:
    with pytest.raises(KeyboardInterrupt):
        command(small_set, [str(photos)], out=tmp_path / f"p.{ending}")
    part = tmp_path / f"p.partial.{ending}"
    rows = pq.read_table(part).to_pylist() if ending == "parquet" else rows_of(part)
    assert [row["id"] for row in rows] == [f"{row:02d}.png" for row in range(16)]
    assert f"p.partial.{ending}: contains the 16 predictions made so far" in caplog.text
    assert sorted(path.name for path in tmp_path.glob("*p.*")) == [part.name]


@pytest.fixture(scope="module")
def vipriors_set(small_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small set's first network, with a random head for 1000 wnids that are not in their sorted order."""
    root = shutil.copytree(small_set, tmp_path_factory.mktemp("vipriors") / "set")
    manifest = json.loads((root / "ensemble.json").read_text())
    member = next(m for m in manifest["members"] if m["aux_fusion"] is None)
    folder = member["models"][0]["folder"] if "models" in member else member["folder"]
    path = root / folder / "model.safetensors"
    weights, rng = load_file(path), np.random.default_rng(0)
    for name, value in weights.items():
        if value.shape[:1] == (10,):
            shape = (1000, *value.shape[1:])
            weights[name] = value.new_tensor(rng.normal(size=shape))
    save_file(weights, path)
    manifest["files"][path.relative_to(root).as_posix()] = sha256(path)
    manifest |= {"classes": WNIDS[::-1], "members": [{**member, "weight": 1.0}]}
    (root / "ensemble.json").write_text(json.dumps(manifest))
    return root


def test_a_vipriors_submission_is_by_number_and_by_sorted_wnid(vipriors_set: Path, tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "photos", [f"img_{number}.JPEG" for number in (10, 9, 100, 2)])
    command(vipriors_set, [str(photos)], out=tmp_path / "p.csv")
    command(vipriors_set, [str(photos)], out=tmp_path / "submission.csv", format_="vipriors")
    predicted = {row["id"]: row["prediction"] for row in rows_of(tmp_path / "p.csv")}
    lines = (tmp_path / "submission.csv").read_text().splitlines()
    assert lines[0] == "Image IDs,Predictions"
    names = ["img_2.JPEG", "img_9.JPEG", "img_10.JPEG", "img_100.JPEG"]
    assert lines[1:] == [f"{name},{WNIDS.index(predicted[name])}" for name in names]


def test_ids_and_classes_of_other_data_are_refused(
    vipriors_set: Path, small_set: Path, photos: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"must be img_<k>\.JPEG, got '00.png', '01.png', '02.png' and 27 more; give"):
        command(vipriors_set, [str(photos)], out=tmp_path / "p.csv", format_="vipriors")
    with pytest.raises(UserError, match=r"class names must be wnids such as n01440764.*'0', '1', '2' and 7 more"):
        command(small_set, [str(photos)], out=tmp_path / "p.csv", format_="vipriors")
    with pytest.raises(UserError, match="the 1000 classes of the challenge, got 999"):
        check_submission(["img_1.JPEG"], WNIDS[1:])
    check_submission(["img_1.JPEG"], WNIDS)
    assert not list(tmp_path.glob("*p.csv"))


def test_a_submission_needs_a_csv_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"must end in \.csv, got '\.parquet'"):
        command(tmp_path / "no set", ["digits"], out=tmp_path / "p.parquet", format_="vipriors")
    with pytest.raises(UserError, match="--format vipriors: requires --out"):
        command(tmp_path / "no set", ["digits"], format_="vipriors")
