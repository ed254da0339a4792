"""The comparison of accuracies: cells, table, the images that all methods read, and the method without a network."""

import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from benchmarks.accuracy import __main__ as command
from benchmarks.accuracy import data, hog_svm, ours, running
from benchmarks.accuracy.cells import COLUMNS, LABELS, Cell, cells_to_run, select_cells
from benchmarks.accuracy.peers import PEERS, SETS, Peer
from benchmarks.accuracy.results import append_line, read_lines, table
from benchmarks.accuracy.side import Clock, Task, read_split, squares
from benchmarks.measure import PeerMissing
from raysearch.config import DataConfig
from raysearch.data.records import SPLITS, STORED_NAMES
from raysearch.data.sources import list_source


def make_line(peer: str, name: str, accuracy: float, minutes: float = 10.0, **changes: Any) -> dict[str, Any]:
    line = {
        "peer": peer,
        "set": name,
        "minutes": minutes,
        "labels": 100,
        "accuracy": accuracy,
        "low": accuracy - 0.02,
        "high": accuracy + 0.02,
        "n_labelled": 1000,
        "n_test": 2000,
        "processor": "a processor, 2 cores",
        "commit": "1234567",
        "date": "2026-11-28",
    }
    return {**line, **changes}


def invoke(*words: str) -> Any:
    app = command.typer.Typer()
    app.command()(command.main)
    return CliRunner().invoke(app, list(words))


def test_the_plan_has_every_method_on_every_set_and_a_longer_budget_on_one() -> None:
    cells = select_cells()
    assert len(cells) == len(set(cells)) == len(PEERS) * (len(SETS) + 1)
    assert Cell("ours", "cifar10", 30.0) in cells


def test_options_select_cells() -> None:
    assert select_cells("gem", "digits") == [Cell("gem", "digits", 10.0)]
    assert {cell.data for cell in select_cells(minutes=30)} == {"cifar10"}
    assert {cell.data for cell in select_cells(minutes=1)} == set(SETS)
    assert select_cells("gem", "digits", 30, 50) == [Cell("gem", "digits", 30.0, 50)]


def test_a_cell_with_a_line_does_not_run_again() -> None:
    selected = select_cells("gem")
    lines = [make_line("gem", "cifar10", 0.5), make_line("gem", "digits", 0.9, labels=50)]
    assert cells_to_run(selected, lines) == [cell for cell in selected if cell != Cell("gem", "cifar10", 10.0)]
    assert cells_to_run(selected, lines, again=True) == selected


def test_the_table_has_methods_as_rows_and_the_best_of_a_column_in_bold() -> None:
    lines = [
        make_line("hog_svm", "cifar10", 0.476),
        make_line("gem", "cifar10", 0.4),
        make_line("gem", "cifar10", 0.5),  # run again: the last line counts
        make_line("gem", "cifar10", 0.6, 30.0, commit="89abcde", date="2026-11-29"),
        make_line("gem", "cifar10", 0.9, labels=50),
    ]
    assert table(lines).splitlines() == [
        "|  | cifar10, 10 min | cifar10, 30 min |",
        "|---|---|---|",
        f"| {PEERS['gem'].label} | **50.0** (48.0-52.0) | **60.0** (58.0-62.0) |",
        f"| {PEERS['hog_svm'].label} | 47.6 (45.6-49.6) |  |",
        "",
        f"Accuracy on test in percent, with 95 % intervals. {LABELS[100]}. Images: cifar10 1000 labelled, 2000 test. "
        "a processor, 2 cores. Commits 1234567, 89abcde. 2026-11-28 to 2026-11-29.",
    ]
    assert "| **90.0** (88.0-92.0) |" in table(lines, 50)


def test_a_table_without_lines_says_so() -> None:
    assert table([]) == "No results with 100 labels a class."


def test_lines_are_read_as_written(tmp_path: Path) -> None:
    path, line = tmp_path / "results.jsonl", make_line("gem", "digits", 0.9)
    assert read_lines(path) == []
    append_line(path, line)
    append_line(path, line)
    assert read_lines(path) == [line, line]


def test_the_committed_results_belong_to_known_cells() -> None:
    for line in read_lines(running.RESULTS):
        assert line["peer"] in PEERS
        assert (line["set"], line["minutes"]) in COLUMNS
        assert line["low"] <= line["accuracy"] <= line["high"]


def test_digits_as_parquet_are_the_splits_of_raysearch(tmp_path: Path) -> None:
    folder = data.prepare("digits", 100, tmp_path / "unused", tmp_path)
    read, direct = (list_source(DataConfig(source=source), SPLITS) for source in (str(folder), "digits"))
    assert read.faults == []
    assert read.classes == direct.classes
    for split in SPLITS:
        ours, theirs = read.splits[split].load()[0], direct.splits[split].load()[0]
        assert [(r.sample_id, r.label, r.read()) for r in ours] == [(r.sample_id, r.label, r.read()) for r in theirs]
        images, labels = read_split(folder, STORED_NAMES[split])
        assert [(image.mode, image.size) for image in images[:2]] == [("RGB", (8, 8))] * 2
        assert labels.tolist() == [record.label for record in theirs]


def test_with_50_labels_train_and_val_are_parts_of_train(tmp_path: Path) -> None:
    whole = data.prepare("digits", 100, tmp_path, tmp_path)
    part = data.prepare("digits", 50, tmp_path, tmp_path)
    rows = {name: pq.read_table(part / f"{name}.parquet").to_pylist() for name in ("train", "val")}
    assert all(
        set(Counter(row["label"] for row in rows[name]).values()) == {n} for name, n in (("train", 12), ("val", 8))
    )
    stored = pq.read_table(whole / "train.parquet").to_pylist()
    paths = {name: [row["image"]["path"] for row in found] for name, found in {**rows, "all": stored}.items()}
    assert sorted(paths["train"] + paths["val"]) == sorted(paths["all"])
    assert data.count_labelled(part) == len(stored)
    assert list_source(DataConfig(source=str(part)), SPLITS).faults == []
    assert np.array_equal(data.read_test_labels(part), data.read_test_labels(whole))


def test_a_missing_set_is_named_with_its_folder(tmp_path: Path) -> None:
    with pytest.raises(data.DataMissing, match=r"cifar10: no train\.parquet.*--data-root"):
        data.prepare("cifar10", 100, tmp_path, tmp_path)


def test_the_clock_ends_before_a_step_that_would_end_after_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([100.0, 100.0, 106.0, 112.0, 113.0, 114.5, 117.5, 117.6])
    monkeypatch.setattr(time, "time", lambda: next(times))
    clock = Clock(Task("", "", started=90.0, budget_s=30.0, image_size=None))
    assert [clock.next_step() for _ in range(5)] == [0.0, 0.3, 0.6, 0.65, 0.725]
    assert clock.next_step() is None
    assert clock.is_over
    assert clock.next_step() is None


def test_a_clock_without_time_left_is_over() -> None:
    assert Clock(Task("", "", started=time.time() - 2, budget_s=1.0, image_size=None)).is_over


def test_hog_finds_the_direction_of_an_edge() -> None:
    ramp = np.linspace(0, 255, 32).astype(np.uint8)
    images = np.stack(
        [np.broadcast_to(ramp[None, :, None], (32, 32, 3)), np.broadcast_to(ramp[:, None, None], (32, 32, 3))]
    )
    blocks = hog_svm.hog(images.astype(np.float32) / 255).reshape(2, 49, hog_svm.ORIENTATIONS, 4)
    across, down = blocks.sum(axis=(1, 3))
    assert across.argmax() == 0
    assert np.argsort(down)[-2:].tolist() in ([4, 5], [5, 4])  # 90 degrees are between two orientations
    assert hog_svm.features(images).shape == (2, 7 * 7 * 4 * 9 + 48)


def test_squares_have_the_image_size(tmp_path: Path) -> None:
    folder = data.prepare("digits", 100, tmp_path, tmp_path)
    images, _ = read_split(folder, "val")
    assert squares(images[:3], 32).shape == (3, 32, 32, 3)


def test_hog_and_svm_run_in_this_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = data.prepare("digits", 50, tmp_path, tmp_path)
    task = Task(str(folder), str(tmp_path), time.time(), 600.0, 16)
    task.write(tmp_path / "task.json")
    monkeypatch.setattr(sys, "argv", ["hog_svm", str(tmp_path / "task.json")])
    monkeypatch.setattr(hog_svm, "C", (1.0, 3.0))
    hog_svm.main()
    line = running.make_line(Cell("hog_svm", "digits", 10.0, 50), task, "1234567")
    assert line["accuracy"] > 0.9
    assert line["low"] < line["accuracy"] < line["high"]
    assert (line["n_labelled"], line["n_test"], line["epochs"]) == (200, 1397, None)
    assert line["overrun_s"] < 0
    assert "scikit-learn" in line["versions"]


def test_our_side_is_two_commands_with_the_same_budget_and_images(tmp_path: Path) -> None:
    fit, evaluate = ours.commands(Task("some images", str(tmp_path), 0.0, 90.0, None))
    assert fit[1:] == ["-m", "raysearch", "fit", "some images", "--minutes", "1.5", "--out", str(tmp_path / "fit")]
    assert evaluate[3:8] == ["evaluate", str(tmp_path / "fit/set"), "--data", "some images", "--split"]


def test_a_measured_accuracy_gets_the_same_interval(tmp_path: Path) -> None:
    folder = data.prepare("digits", 100, tmp_path, tmp_path)
    facts = {"accuracy": 0.5, "epochs": None, "seconds": 61.0, "note": "", "versions": {}}
    (tmp_path / "facts.json").write_text(json.dumps(facts))
    task = Task(str(folder), str(tmp_path), 0.0, 60.0, None)
    line = running.make_line(Cell("ours", "digits", 1.0), task, "1234567")
    assert (line["low"], line["high"], line["overrun_s"]) == (0.4738, 0.5262, 1.0)


def test_a_script_of_the_peers_environment_needs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "PEERS_VENV", tmp_path / "venv")
    assert running.interpreter(Peer("x", "x")) == Path(sys.executable)
    with pytest.raises(PeerMissing, match="venv is not installed"):
        running.interpreter(Peer("x", "x", uses_peers_venv=True))


def test_the_bench_goes_on_after_a_missing_set_and_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Cell] = []

    def run_cell(cell: Cell, images: Path, out: Path) -> dict[str, Any]:
        calls.append(cell)
        if cell.peer == "gem":
            raise OSError("no such luck")
        return make_line(cell.peer, cell.data, 0.5, cell.minutes, seconds=1, epochs=2, note="a note")

    def prepare(name: str, labels: int, data_root: Path, folder: Path) -> Path:
        return folder if name == "digits" else data.prepare(name, labels, data_root, folder)

    monkeypatch.setattr(command, "run_cell", run_cell)
    monkeypatch.setattr(command, "prepare", prepare)
    path = tmp_path / "results.jsonl"
    words = ["--results", str(path), "--data-root", str(tmp_path)]
    result = invoke(*words)
    assert result.exit_code == 1
    assert "failed: no such luck" in result.stderr
    assert "skipped" in result.stdout
    assert [cell.data for cell in calls] == ["digits"] * len(PEERS)
    assert len(read_lines(path)) == len(PEERS) - 1
    assert "| ours |" not in result.stdout
    assert f"| {PEERS['ours'].label} | **50.0** (48.0-52.0) |" in result.stdout
    calls.clear()
    invoke(*words)
    assert [cell.peer for cell in calls] == ["gem"]
    calls.clear()
    assert invoke(*words, "--table").exit_code == 0
    assert calls == []


@pytest.mark.parametrize(("option", "value"), [("--only", "gme"), ("--data", "cifar"), ("--labels", "30")])
def test_an_unknown_value_lists_the_known_ones(option: str, value: str) -> None:
    result = invoke(option, value, "--table")
    assert result.exit_code == 2
    assert f"{option}: got {value!r}; known: " in result.stderr
