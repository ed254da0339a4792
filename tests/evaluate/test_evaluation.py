import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, confusion_matrix, log_loss, recall_score, top_k_accuracy_score
from small_study import PARQUET_IMAGES

from raysearch.ensemble.calibration import expected_calibration_error
from raysearch.errors import DataError, UserError
from raysearch.evaluate.__main__ import command
from raysearch.evaluate.metrics import METRICS
from raysearch.io import read_json, read_yaml
from raysearch.paths import StudyPaths
from raysearch.predict.checkpoint_set import load_set
from raysearch.predict.inputs import LabelledSplit, open_split

DIGITS = list("0123456789")


@pytest.fixture
def evaluate(small_set: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    """Runs the command and parses the last line that it prints."""

    def run(source: str | Path, split: str = "test", **options: Any) -> dict[str, Any]:
        command(small_set, str(source), split, **options)
        return json.loads(capsys.readouterr().out.splitlines()[-1])

    return run


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory, write_parquet: Callable[..., Path]) -> Path:
    """A Parquet source: the first digits as its test split."""
    return write_parquet(tmp_path_factory.mktemp("source") / "digits", "test", DIGITS)


@pytest.fixture(scope="module")
def test_split(small_set: Path, source: Path) -> tuple[LabelledSplit, np.ndarray, np.ndarray]:
    """The source's test split, with the set's vote and that after temperature scaling."""
    loaded = load_set(small_set)
    split = open_split(str(source), "test", loaded.image_sizes, loaded.manifest.data)
    probs = loaded.predict({size: dataset.splits["test"].images for size, dataset in split.datasets.items()})
    return split, probs, loaded.calibrated(probs)


def test_the_last_line_equals_an_independent_computation(
    test_split: tuple[LabelledSplit, np.ndarray, np.ndarray], source: Path, evaluate: Callable[..., dict[str, Any]]
) -> None:
    split, probs, scaled = test_split
    labels, predicted = split.labels, probs.argmax(1)
    figures = evaluate(source)
    assert figures["n"] == PARQUET_IMAGES
    normalised = probs / probs.sum(axis=1, keepdims=True)
    expected = {
        "accuracy": np.mean(predicted == labels),
        "top5_accuracy": top_k_accuracy_score(labels, probs, k=5),
        "balanced_accuracy": balanced_accuracy_score(labels, predicted),
        "log_loss": log_loss(labels, normalised),
        "log_loss_scaled": log_loss(labels, scaled),
        "ece": expected_calibration_error(probs, labels),
        "ece_scaled": expected_calibration_error(scaled, labels),
    }
    assert {name: figures[name] for name in expected} == pytest.approx(expected, abs=1e-5)
    assert all(figures[f"{name}_low"] <= figures[name] <= figures[f"{name}_high"] for name in expected)
    assert list(expected) == [metric.name for metric in METRICS]
    assert {*expected, *(f"{name}_{end}" for name in expected for end in ("low", "high"))} == figures.keys() - {
        "n",
        "temperature",
    }


def test_the_file_holds_every_class_and_the_whole_confusion(
    tmp_path: Path,
    test_split: tuple[LabelledSplit, np.ndarray, np.ndarray],
    source: Path,
    evaluate: Callable[..., dict[str, Any]],
) -> None:
    labels, predicted = test_split[0].labels, test_split[1].argmax(1)
    printed = evaluate(source, out=tmp_path / "new" / "figures.json")
    written = read_json(tmp_path / "new" / "figures.json")
    assert printed.items() <= written.items()
    assert written["confusion"] == confusion_matrix(labels, predicted).tolist()
    assert written["classes"] == DIGITS
    assert [row["recall"] for row in written["recalls"]] == pytest.approx(recall_score(labels, predicted, average=None))
    rounding = 1e-9  # a bound at a recall of 0 or 1 is that number but for rounding
    for row in written["recalls"]:
        assert row["recall_low"] - rounding <= row["recall"] <= row["recall_high"] + rounding
    first = written["confusions"][0]
    cell = written["confusion"][int(first["class"])][int(first["taken_for"])]
    assert (
        first["n"] == cell == max(n for a, row in enumerate(written["confusion"]) for b, n in enumerate(row) if a != b)
    )
    assert first["share"] == pytest.approx(cell / sum(written["confusion"][int(first["class"])]))


@pytest.mark.parametrize(("name", "message"), [("figures.txt", r"must end in \.json"), ("old.json", "already exists")])
def test_a_file_in_the_way_is_found_before_the_set_is_opened(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "old.json").write_text("mine")
    with pytest.raises(UserError, match=message):
        command(tmp_path / "no set", "digits", out=tmp_path / name)
    assert (tmp_path / "old.json").read_text() == "mine"


def test_a_file_is_overwritten_only_with_the_option(
    tmp_path: Path, write_parquet: Callable[..., Path], small_set: Path
) -> None:
    (tmp_path / "old.json").write_text("mine")
    source = write_parquet(tmp_path / "a", "test", ["7", "3"])
    command(small_set, str(source), out=tmp_path / "old.json", overwrite=True)
    written = read_json(tmp_path / "old.json")
    assert written["n"] == sum(row["n"] for row in written["recalls"]) > 0


def test_the_held_out_figure_is_the_stored_ensembles(
    small_study: StudyPaths, small_set: Path, evaluate: Callable[..., dict[str, Any]]
) -> None:
    from raysearch.ensemble.results import ensemble_probs
    from raysearch.export.selected import read_selected

    selected = read_selected(small_study, "mixed")
    probs = ensemble_probs(selected.ensemble, selected.library)
    stored = float((probs.argmax(1) == selected.library.labels).mean())
    assert evaluate("digits", "val")["accuracy"] == stored
    assert read_yaml(small_study.study)["data"]["counts"]["held_out"] == 40


def test_another_inference_mode_gives_other_figures(
    tmp_path: Path, write_parquet: Callable[..., Path], evaluate: Callable[..., dict[str, Any]]
) -> None:
    source = write_parquet(tmp_path / "a", "test", DIGITS)
    modes = (None, "center", "mirror", "tencrop")
    as_selected, center, mirror, tencrop = (evaluate(source, tta=tta) for tta in modes)
    assert as_selected == center  # no member of the set uses several crops
    assert len({found["log_loss"] for found in (center, mirror, tencrop)}) == 3


def test_a_source_needs_only_the_split_asked_for_and_classes_in_any_order(
    tmp_path: Path, write_parquet: Callable[..., Path], evaluate: Callable[..., dict[str, Any]]
) -> None:
    straight = evaluate(write_parquet(tmp_path / "a", "test", DIGITS))
    turned = evaluate(write_parquet(tmp_path / "b", "test", DIGITS[::-1]))
    assert straight == pytest.approx(turned)
    assert straight["n"] == 60


def test_classes_of_the_set_may_be_absent_from_the_data(
    tmp_path: Path, write_parquet: Callable[..., Path], evaluate: Callable[..., dict[str, Any]]
) -> None:
    whole = evaluate(write_parquet(tmp_path / "a", "test", DIGITS))
    some = evaluate(write_parquet(tmp_path / "b", "test", ["7", "3"]))
    assert 0 < some["n"] < whole["n"]


def test_unknown_classes_are_refused_by_name(
    tmp_path: Path, write_parquet: Callable[..., Path], evaluate: Callable[..., dict[str, Any]]
) -> None:
    root = write_parquet(tmp_path / "a", "test", DIGITS, rename={"3": "three", "4": "four"})
    with pytest.raises(DataError) as caught:
        evaluate(root)
    assert ["'three'" in fault or "'four'" in fault for fault in caught.value.faults] == [True, True]


@pytest.mark.parametrize("width", [80, 120])
def test_tables_give_figures_recalls_and_confusion_within_the_width(
    small_set: Path,
    tmp_path: Path,
    write_parquet: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    width: int,
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    command(small_set, str(write_parquet(tmp_path / "a", "test", ["7", "3"])))
    *lines, last = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    for metric in METRICS:
        assert f"│ {metric.label}" in text
    assert re.search(r"^│ balanced accuracy .* \d+\.\d %", text, re.MULTILINE)
    assert re.search(r"^│ [37] +│ +\d+ │ +\d+\.\d % │ +\d+\.\d to \d+\.\d │$", text, re.MULTILINE)
    assert re.search(r"^ [37]  [37] ( +(\d+|\.)){10}", text, re.MULTILINE)
    assert json.loads(last)["n"] > 0


def test_an_unknown_split_is_refused(evaluate: Callable[..., dict[str, Any]]) -> None:
    with pytest.raises(DataError, match="did you mean 'test'"):
        evaluate("digits", "tests")
