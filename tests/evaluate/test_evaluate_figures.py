"""Figures against values worked out by hand."""

from math import log

import numpy as np
import pytest

from raysearch.ensemble.calibration import expected_calibration_error
from raysearch.evaluate.evaluation import compute_evaluation
from raysearch.evaluate.metrics import summarize
from raysearch.evaluate.results import Evaluation

PROBS = np.array(
    [
        [0.70, 0.20, 0.10],  # 0, right
        [0.40, 0.50, 0.10],  # 0 taken for 1
        [0.60, 0.30, 0.10],  # 0, right
        [0.20, 0.72, 0.08],  # 1, right
        [0.10, 0.00, 0.90],  # 1 taken for 2
        [0.45, 0.45, 0.10],  # 2 taken for 0: the first of equals
    ]
)
SCALED = np.where(PROBS.max(axis=1, keepdims=True) == PROBS, 0.5, 0.25)
LABELS = np.array([0, 0, 0, 1, 1, 2])


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    return compute_evaluation(summarize(PROBS, SCALED, LABELS), ("a", "b", "c"), 1.5)


def test_accuracies_are_of_all_images_and_of_each_class(evaluation: Evaluation) -> None:
    assert evaluation.n == 6
    assert evaluation.accuracy == pytest.approx(3 / 6)
    assert [(r.name, r.n, r.share.value) for r in evaluation.recalls] == [
        ("a", 3, pytest.approx(2 / 3)),
        ("b", 2, pytest.approx(1 / 2)),
        ("c", 1, 0.0),
    ]
    assert evaluation.figures["balanced_accuracy"].value == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)


def test_the_confusion_counts_true_classes_in_rows(evaluation: Evaluation) -> None:
    assert evaluation.confusion.tolist() == [[2, 1, 0], [0, 1, 1], [1, 0, 0]]
    assert [(c.name, c.taken_for, c.n, c.share.value) for c in evaluation.confusions] == [
        ("a", "b", 1, pytest.approx(1 / 3)),
        ("b", "c", 1, pytest.approx(1 / 2)),
        ("c", "a", 1, 1.0),
    ]


def test_log_loss_is_in_nats_and_finite_for_a_confident_mistake(evaluation: Evaluation) -> None:
    by_hand = -(log(0.7) + log(0.4) + log(0.6) + log(0.72) + log(1e-12) + log(0.1)) / 6
    assert evaluation.figures["log_loss"].value == pytest.approx(by_hand)
    assert evaluation.figures["log_loss_scaled"].value == pytest.approx(-(3 * log(0.5) + 2 * log(0.25) + log(0.25)) / 6)


def test_calibration_error_is_by_bins_of_confidence(evaluation: Evaluation) -> None:
    # Of 15 bins, (2/3, 11/15] contains 0.70 and 0.72, both correct; every other image is alone in its bin.
    by_hand = ((1 - 0.70) + (1 - 0.72) + 0.50 + (1 - 0.60) + 0.90 + 0.45) / 6
    assert evaluation.figures["ece"].value == pytest.approx(by_hand)
    assert evaluation.figures["ece_scaled"].value == pytest.approx(0.0)  # confidence 0.5, and half of them are right


def test_calibration_error_is_that_of_the_ensemble_s_on_any_confidence() -> None:
    rng = np.random.default_rng(0)
    edges = np.arange(1, 16) / 15
    top = np.concatenate([rng.uniform(0.34, 1, 500), edges[edges > 0.5], edges[edges > 0.5] + 1e-9]).clip(max=1)
    probs = np.stack([top, (1 - top) * 0.6, (1 - top) * 0.4], axis=1)
    labels = rng.integers(3, size=len(top))
    figures = compute_evaluation(summarize(probs, probs, labels), ("a", "b", "c"), 1.0).figures
    assert figures["ece"].value == pytest.approx(expected_calibration_error(probs, labels), abs=1e-12)


def test_the_best_five_are_counted_where_there_are_more_classes() -> None:
    probs = np.array([[0.3, 0.2, 0.15, 0.13, 0.12, 0.1], [0.3, 0.2, 0.15, 0.1, 0.125, 0.125], [1 / 6] * 6])
    classes = tuple("abcdef")

    def share(*labels: int) -> float:
        samples = summarize(probs, probs, np.array(labels))
        return compute_evaluation(samples, classes, 1.0).figures["top5_accuracy"].value

    assert share(4, 5, 4) == 1
    assert share(5, 3, 5) == 0  # among equal probabilities the first five count
    five = compute_evaluation(summarize(probs[:, :5], probs[:, :5], np.array([0, 1, 2])), classes[:5], 1.0)
    assert "top5_accuracy" not in five.figures


def test_classes_without_images_have_no_recall_and_do_not_count_in_the_mean() -> None:
    probs = np.eye(4)[[0, 0, 3]]
    evaluation = compute_evaluation(summarize(probs, probs, np.array([0, 3, 3])), tuple("abcd"), 1.0)
    assert [r.name for r in evaluation.recalls] == ["a", "d"]
    assert evaluation.figures["balanced_accuracy"].value == pytest.approx((1 + 1 / 2) / 2)
