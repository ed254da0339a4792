import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, log_loss

from raysearch.errors import DataError
from raysearch.evaluate import wilson_interval
from raysearch.evaluate.__main__ import command
from raysearch.io import read_yaml
from raysearch.paths import StudyPaths
from raysearch.predict import load_set, open_split, predict_all

DIGITS = list("0123456789")


@pytest.fixture
def evaluate(small_set: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    """The last line of what the command prints."""

    def run(source: str | Path, split: str = "test") -> dict[str, Any]:
        command(small_set, str(source), split)
        return json.loads(capsys.readouterr().out.splitlines()[-1])

    return run


def test_the_last_line_equals_an_independent_computation(
    small_set: Path, evaluate: Callable[..., dict[str, Any]]
) -> None:
    loaded = load_set(small_set)
    split = open_split("digits", "test", loaded.image_sizes, loaded.manifest.data)
    probs = predict_all(loaded, split)[1]
    figures = evaluate("digits")
    assert figures["n"] == 1797 - 100
    assert figures["accuracy"] == pytest.approx(np.mean(probs.argmax(1) == split.labels))
    assert figures["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(split.labels, probs.argmax(1)))
    normalised = probs / probs.sum(axis=1, keepdims=True)
    assert figures["log_loss"] == pytest.approx(log_loss(split.labels, normalised), abs=1e-5)
    assert figures["accuracy_low"] < figures["accuracy"] < figures["accuracy_high"]


def test_the_held_out_figure_is_the_stored_ensembles(
    small_study: StudyPaths, small_set: Path, evaluate: Callable[..., dict[str, Any]]
) -> None:
    from raysearch.export import read_selected

    selected = read_selected(small_study, "mixed")
    stored = float((selected.probs.argmax(1) == selected.library.labels).mean())
    assert evaluate("digits", "val")["accuracy"] == stored
    assert read_yaml(small_study.study)["data"]["counts"]["held_out"] == 40


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


def test_the_table_gives_the_recall_of_each_class(
    small_set: Path, tmp_path: Path, write_parquet: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    command(small_set, str(write_parquet(tmp_path / "a", "test", ["7", "3"])))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Recall by class"
    assert any("balanced accuracy" in line for line in lines)
    assert sum("%" in line and "│" in line for line in lines) == 2


def test_an_unknown_split_is_refused(evaluate: Callable[..., dict[str, Any]]) -> None:
    with pytest.raises(DataError, match="did you mean 'test'"):
        evaluate("digits", "tests")


@pytest.mark.parametrize(
    ("share", "n", "low", "high"),
    [(0.5, 10, 0.23659, 0.76341), (1.0, 10, 0.72247, 1.0), (0.0, 10, 0.0, 0.27753), (0.8, 1000, 0.77410, 0.82363)],
)
def test_the_wilson_interval_matches_its_closed_form(share: float, n: int, low: float, high: float) -> None:
    assert wilson_interval(share, n) == pytest.approx((low, high), abs=2e-5)
