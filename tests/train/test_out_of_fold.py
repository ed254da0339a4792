import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raysearch.errors import PredictionsError
from raysearch.io import read_json, write_json, write_text
from raysearch.paths import TrialPaths
from raysearch.predictions import Predictions, joint_sha256, read_predictions, write_predictions
from raysearch.train.out_of_fold import average_lines, merge_folds, write_joint_result

HELD_OUT = (("b", "d"), ("a", "e"), ("c",))
"""Sample ids of each fold. The label alternates between 0 and 1 with the letter."""


def write_view(fold: TrialPaths, view: str, ids: tuple[str, ...], right: float, weights: str, **changes: Any) -> None:
    """Predictions in which the label has the probability ``right``."""
    labels = np.array([ord(sample_id) % 2 for sample_id in ids], dtype=np.int32)
    probs = np.where(labels[:, None] == np.arange(2), right, 1 - right).astype(np.float32)
    facts = {"classes": ("0", "1"), "split": "held_out", "fingerprint": "f" * 64, "trial_number": 7}
    found = Predictions(ids, labels, probs, view=view, weights_sha256=weights, **{**facts, **changes})
    write_predictions(fold.predictions(view), found)


def write_fold(trial: TrialPaths, number: int, right: float = 0.9, **changes: Any) -> TrialPaths:
    fold = trial.fold(number)
    for role in ("student", "teacher"):
        certainty = right if role == "student" else 1 - right
        write_view(fold, f"{role}-final", HELD_OUT[number], certainty, f"{role} {number}", **changes)
    return fold


def write_metrics(fold: TrialPaths, *accuracies: float | None, seconds: float = 1.0, **last: Any) -> None:
    """One line per epoch. None: without an evaluation."""
    lines: list[dict[str, Any]] = []
    for epoch, accuracy in enumerate(accuracies, start=1):
        line = {"epoch": epoch, "seconds": seconds * epoch, "lr": 0.1, "train": {"loss": float(epoch)}}
        figures = {"accuracy": accuracy, "log_loss": 1.0}
        evaluation = {f"{role}-final": figures for role in ("student", "teacher")}
        lines.append(line if accuracy is None else {**line, "held_out": evaluation})
    lines[-1] |= last
    write_text(fold.metrics, "".join(json.dumps(line) + "\n" for line in lines))


def write_fold_result(fold: TrialPaths, **values: Any) -> None:
    facts = {"precision": "float32", "device": "cpu", "num_parameters": 5, "notes": ["short"], "views": {}}
    write_json(fold.result, {"state": "COMPLETE", "reason": None, **facts, **values})


@pytest.fixture
def trial(tmp_path: Path) -> TrialPaths:
    return TrialPaths(tmp_path / "0007")


@pytest.fixture
def folds(trial: TrialPaths) -> list[TrialPaths]:
    return [write_fold(trial, number) for number in range(3)]


def test_every_image_occurs_once_sorted_by_id_with_the_probabilities_of_its_fold(folds):
    for number, fold in enumerate(folds):
        write_fold(TrialPaths(fold.root.parents[1]), number, right=0.6 + 0.1 * number)
    found = merge_folds(folds)["student-final"]
    assert found.sample_ids == ("a", "b", "c", "d", "e")
    assert found.labels.tolist() == [1, 0, 1, 0, 1]
    assert found.probs[np.arange(5), found.labels] == pytest.approx([0.7, 0.6, 0.8, 0.6, 0.7])
    assert (found.split, found.trial_number, found.view) == ("held_out", 7, "student-final")
    assert found.weights_sha256 == joint_sha256(["student 0", "student 1", "student 2"])


def test_a_view_that_one_fold_lacks_is_left_out(folds):
    for number in (0, 1):
        write_view(folds[number], "student-final-tencrop", HELD_OUT[number], 0.9, f"student {number}")
    assert set(merge_folds(folds)) == {"student-final", "teacher-final"}


def test_a_view_of_weights_that_were_not_kept_is_left_out(folds):
    for number in range(3):
        kept = f"student {number}" if number else "before it was stopped and went on"
        write_view(folds[number], "student-final-40px", HELD_OUT[number], 0.9, kept)
    assert "student-final-40px" not in merge_folds(folds)


def test_an_image_in_two_folds_is_refused(trial, folds):
    write_view(folds[2], "student-final", ("a", "c"), 0.9, "student 2")
    with pytest.raises(PredictionsError, match=r"0007/folds: 'a' is held out in two folds"):
        merge_folds(folds)


def test_predictions_of_other_data_are_refused_with_their_file(trial, folds):
    write_fold(trial, 1, fingerprint="0" * 64)
    with pytest.raises(PredictionsError, match=r"folds/1/predictions/student-final.arrow: different data than "):
        merge_folds(folds)


def test_a_mean_is_of_epochs_that_all_folds_have_done(folds):
    for fold, accuracies in zip(folds, [(0.2, None, 0.9), (0.4, 0.5, 0.6), (0.9, None)], strict=True):
        write_metrics(fold, *accuracies, seconds=2.0)
    first, second = average_lines(folds)
    assert first["held_out"]["student-final"]["accuracy"] == pytest.approx(0.5)
    assert (first["epoch"], first["seconds"], first["train"]) == (1, 6.0, {"loss": 1.0})
    assert "held_out" not in second, "two folds have no evaluation there"
    assert "partial" not in second
    write_metrics(folds[2], 0.9, 0.8, partial=True)
    assert average_lines(folds)[1]["partial"]


def test_the_value_is_the_better_role_s_over_all_images(trial, folds):
    write_fold(trial, 2, right=0.3)
    for number, fold in enumerate(folds):
        write_metrics(fold, 0.5, 0.6, seconds=3.0)
        write_fold_result(fold, latency_ms={"center": 3.0 - number, "tencrop": 9.0})
    result = write_joint_result(trial, folds, 7, "COMPLETE", "accuracy", 2, "wrn", {"lr": 1})
    assert read_json(trial.result) == result
    assert (result["value"], result["role"]) == (pytest.approx(4 / 5), "student")
    assert (result["folds"], result["epochs"], result["epochs_done"], result["seconds"]) == (3, 6, 6, 18.0)
    assert (result["num_parameters"], result["notes"]) == (5, ["short"])
    assert result["latency_ms"] == {"center": 1.0, "tencrop": 9.0}
    stored = read_predictions(trial.predictions("student-final"))
    assert (stored.probs.argmax(1) == stored.labels).mean() == pytest.approx(result["value"])
    log_loss = -np.log(stored.probs[np.arange(5), stored.labels]).mean()
    assert result["views"]["student-final"]["log_loss"] == pytest.approx(log_loss)
    assert len(trial.metrics.read_text().splitlines()) == 2


def test_a_smaller_log_loss_is_better(trial, folds):
    result = write_joint_result(trial, folds, 7, "COMPLETE", "log_loss", 2, "wrn", {})
    assert (result["value"], result["role"]) == (pytest.approx(-np.log(0.9)), "student")


def test_a_failed_trial_has_no_joint_predictions(trial, folds):
    result = write_joint_result(trial, folds, 7, "FAIL", "accuracy", 2, "wrn", {}, "fold 1: nan")
    assert (result["value"], result["role"], result["views"], result["reason"]) == (None, None, {}, "fold 1: nan")
    assert trial.stored_views() == []


def test_without_predictions_of_all_folds_there_is_no_result(trial, folds):
    for role in ("student", "teacher"):
        folds[1].predictions(f"{role}-final").unlink()
    with pytest.raises(PredictionsError, match="no role has predictions in all folds"):
        write_joint_result(trial, folds, 7, "COMPLETE", "accuracy", 2, "wrn", {})
    assert not trial.result.exists()
