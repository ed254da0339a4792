"""Intervals: how often they contain the true value, and their width where resamples do not vary."""

import numpy as np
import pytest

from raysearch.ensemble.intervals import share_interval
from raysearch.evaluate.bootstrap import (
    RESAMPLES,
    calibration_figure,
    draw_means,
    draw_shares,
    draw_totals,
    percentile_figure,
    share_figure,
)
from raysearch.evaluate.evaluation import compute_evaluation
from raysearch.evaluate.figures import Figure
from raysearch.evaluate.metrics import summarize
from raysearch.evaluate.results import Evaluation

TRIES = 200


def holds(figure: Figure, truth: float) -> bool:
    return figure.low <= truth <= figure.high


def of(predicted: np.ndarray, labels: np.ndarray, num_classes: int) -> Evaluation:
    probs = np.full((len(labels), num_classes), 0.1 / (num_classes - 1))
    probs[np.arange(len(labels)), predicted] = 0.9
    return compute_evaluation(summarize(probs, probs, labels), tuple(map(str, range(num_classes))), 1.0)


@pytest.mark.parametrize(("share", "n"), [(0.5, 40), (0.9, 10), (0.9, 100), (0.97, 100), (0.9, 1000)])
def test_the_interval_of_a_share_holds_the_truth_in_nineteen_of_twenty_splits(share: float, n: int) -> None:
    rng = np.random.default_rng(n)
    found = rng.binomial(n, share, size=TRIES) / n
    totals = np.full(RESAMPLES, n)
    held = [holds(share_figure(float(s), n, draw_shares(totals, s, rng)), share) for s in found]
    assert np.mean(held) >= 0.91


def test_the_interval_of_log_loss_holds_the_truth_in_nineteen_of_twenty_splits() -> None:
    rng = np.random.default_rng(0)
    held = []
    for _ in range(TRIES // 2):
        losses = rng.exponential(0.7, size=(150, 1))
        held.append(holds(percentile_figure(losses.mean(), draw_means(losses, rng)[:, 0]), 0.7))
    assert np.mean(held) >= 0.88


def test_the_interval_of_balanced_accuracy_holds_the_truth_of_uneven_classes() -> None:
    rng = np.random.default_rng(0)
    shares, recalls = np.array([0.7, 0.2, 0.1]), np.array([0.9, 0.6, 0.5])
    held = []
    for _ in range(TRIES):
        labels = rng.choice(3, p=shares, size=300)
        predicted = np.where(rng.random(300) < recalls[labels], labels, (labels + 1) % 3)
        totals = np.bincount(labels, minlength=3)
        found = np.bincount(labels[predicted == labels], minlength=3) / totals
        draws = np.nanmean(draw_shares(draw_totals(totals, rng), found, rng), axis=1)
        held.append(holds(share_figure(found.mean(), 300, draws), recalls.mean()))
    assert np.mean(held) >= 0.91


@pytest.mark.parametrize(("surplus", "truth"), [(0.0, 0.0), (0.15, 0.15)])
def test_the_interval_of_the_calibration_error_holds_the_truth(surplus: float, truth: float) -> None:
    """Also for a calibrated set, where a percentile interval never does: its error is above zero on every sample."""
    rng = np.random.default_rng(0)
    held = []
    for _ in range(40):
        confidence = rng.uniform(0.4, 1, size=300)
        right = rng.random(300) < confidence - surplus
        found = calibration_figure(confidence, right, rng)
        held.append(holds(found, truth))
        assert found.low <= found.value <= found.high
    assert np.mean(held) >= 0.88


def test_draws_are_resamples_of_the_images() -> None:
    rng = np.random.default_rng(0)
    labels, right = rng.integers(3, size=60), rng.random(60) < 0.7
    totals, found = np.bincount(labels, minlength=3), np.bincount(labels[right], minlength=3)
    drawn = draw_totals(totals, rng)
    assert drawn.shape == (RESAMPLES, 3)
    assert set(drawn.sum(axis=1)) == {60}
    by_counts = draw_shares(drawn, found / totals, rng)
    by_images = []
    for _ in range(RESAMPLES):
        rows = rng.integers(60, size=60)
        by_images.append(np.bincount(labels[rows][right[rows]], minlength=3) / np.bincount(labels[rows], minlength=3))
    np.testing.assert_allclose(by_counts.mean(axis=0), np.mean(by_images, axis=0), atol=0.02)
    np.testing.assert_allclose(by_counts.std(axis=0), np.std(by_images, axis=0), rtol=0.15)
    values = rng.normal(size=(60, 2))
    assert draw_means(values, rng).std(axis=0) == pytest.approx(values.std(axis=0) / np.sqrt(60), rel=0.1)


def test_where_all_are_right_the_interval_is_no_point() -> None:
    labels = np.repeat(np.arange(4), 25)
    evaluation = of(labels, labels, 4)
    assert evaluation.figures["accuracy"] == Figure(1.0, *share_interval(1.0, 100))
    assert evaluation.figures["balanced_accuracy"] == evaluation.figures["accuracy"]  # classes of a size
    assert {r.share for r in evaluation.recalls} == {Figure(1.0, *share_interval(1.0, 25))}
    assert evaluation.confusions == ()


def test_uneven_classes_leave_the_balanced_accuracy_less_sure_than_the_plain_one() -> None:
    labels = np.repeat([0, 1], [95, 5])
    figures = of(labels, labels, 2).figures
    # effective number of images: 2^2 / (1/95 + 1/5) = 19
    assert figures["balanced_accuracy"] == Figure(1.0, *share_interval(1.0, 19))
    assert figures["balanced_accuracy"].low < figures["accuracy"].low


def test_intervals_are_the_same_each_time_and_narrow_with_more_images() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(4, size=4000)
    predicted = np.where(rng.random(4000) < 0.7, labels, (labels + 1) % 4)
    whole, again, part = of(predicted, labels, 4), of(predicted, labels, 4), of(predicted[:400], labels[:400], 4)
    assert whole.as_json() == again.as_json()
    width = {id(e): e.figures["accuracy"].high - e.figures["accuracy"].low for e in (whole, part)}
    assert width[id(part)] / width[id(whole)] == pytest.approx(np.sqrt(10), rel=0.15)
