from functools import partial

import numpy as np
import pytest

from raysearch.ensemble.estimate import bootstrap_gain, cross_fit, stratified_folds, usable_folds
from raysearch.ensemble.selection import greedy, score, weighted_mean
from raysearch.errors import PredictionsError

SELECT = partial(greedy, rounds=15)


def softmax(logits):
    exp = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return (exp / exp.sum(axis=-1, keepdims=True)).astype(np.float32)


def noise_library(rng, samples=300, candidates=30, classes=4):
    labels = np.arange(samples) % classes
    return list(softmax(2 * rng.normal(size=(candidates, samples, classes)))), labels


def signal_library(rng, samples, strengths=(1.0, 1.2, 1.4, 1.4, 1.6), classes=5):
    """Candidates of given strengths, whose errors are partly the same ones."""
    labels = np.arange(samples) % classes
    shared = rng.normal(size=(samples, classes))
    logits = [s * np.eye(classes)[labels] + 0.5 * shared + rng.normal(size=shared.shape) for s in strengths]
    return [softmax(x) for x in logits], labels


def estimate(probs, labels, seed=0, folds=5, repeats=2, bootstrap=300):
    rng = np.random.default_rng(seed)
    return cross_fit(probs, labels, SELECT, folds=folds, repeats=repeats, bootstrap=bootstrap, rng=rng)


def test_pure_noise_is_above_chance_in_sample_and_at_chance_cross_fitted():
    in_sample, cross_fitted = [], []
    for seed in range(5):
        probs, labels = noise_library(np.random.default_rng(seed))
        in_sample.append(SELECT(probs, labels).trajectory[-1].accuracy)
        cross_fitted.append(estimate(probs, labels).ensemble.accuracy)
    assert np.mean(in_sample) > 0.25 + 0.10
    assert np.mean(cross_fitted) == pytest.approx(0.25, abs=0.03)


def test_the_cross_fitted_figure_is_close_to_a_fresh_sample_and_its_interval_usually_holds_the_true_gain():
    errors, covered = [], 0
    fresh, fresh_labels = signal_library(np.random.default_rng(99), 20_000)
    for seed in range(10):
        probs, labels = signal_library(np.random.default_rng(seed), 300)
        found = estimate(probs, labels)
        selection = SELECT(probs, labels)
        true = score(weighted_mean(fresh, selection.weights), fresh_labels)
        true_gain = true.accuracy - score(fresh[selection.picks[0]], fresh_labels).accuracy
        errors.append(found.ensemble.accuracy - true.accuracy)
        covered += found.gain.low <= true_gain <= found.gain.high
    assert abs(np.mean(errors)) < 0.025
    assert covered >= 8


def test_the_gain_is_the_difference_of_the_two_figures_and_lies_in_its_interval():
    found = estimate(*signal_library(np.random.default_rng(1), 200))
    assert found.gain.accuracy == pytest.approx(found.ensemble.accuracy - found.best_single.accuracy)
    assert found.gain.low <= found.gain.accuracy <= found.gain.high
    assert found.gain.is_certain == (found.gain.low > 0)


def test_one_candidate_gains_nothing():
    probs, labels = signal_library(np.random.default_rng(1), 50, strengths=(1.0,))
    found = estimate(probs, labels)
    assert found.ensemble == found.best_single == score(probs[0], labels)
    assert (found.gain.accuracy, found.gain.low, found.gain.high) == (0, 0, 0)
    assert not found.gain.is_certain


def test_the_same_seed_gives_the_same_figures_and_another_seed_others():
    library = signal_library(np.random.default_rng(2), 100)
    assert estimate(*library, seed=3) == estimate(*library, seed=3)
    assert estimate(*library, seed=3) != estimate(*library, seed=4)


def test_each_sample_is_scored_by_a_selection_that_did_not_see_it():
    probs, labels = signal_library(np.random.default_rng(5), 40)
    seen = []

    def select(rows, fold_labels):
        seen.append({row.tobytes() for row in rows[0]})
        return SELECT(rows, fold_labels)

    cross_fit(probs, labels, select, folds=4, repeats=1, bootstrap=10, rng=np.random.default_rng(0))
    everything = {row.tobytes() for row in probs[0]}
    left_out = [everything - rows for rows in seen]
    assert [len(rows) for rows in left_out] == [10, 10, 10, 10]
    assert set.union(*left_out) == everything


def test_folds_are_balanced_over_all_and_within_each_class():
    labels = np.repeat([0, 1, 2], [11, 7, 23])
    fold_of = stratified_folds(labels, 5, np.random.default_rng(0))
    for group in (labels >= 0, labels == 0, labels == 1, labels == 2):
        sizes = np.bincount(fold_of[group], minlength=5)
        assert sizes.max() - sizes.min() <= 1
    assert (fold_of != stratified_folds(labels, 5, np.random.default_rng(1))).any()


@pytest.mark.parametrize(("counts", "expected"), [([9, 9], 5), ([9, 0, 3], 3), ([9, 1], 2)])
def test_a_class_with_fewer_samples_than_folds_reduces_the_folds_and_says_so(counts, expected, caplog):
    labels = np.repeat(np.arange(len(counts)), counts)
    assert usable_folds(labels, 5) == expected
    assert bool(caplog.records) == (expected < 5)


def test_a_single_sample_cannot_be_cross_fitted():
    with pytest.raises(PredictionsError, match="at least 2 held-out samples, got 1"):
        usable_folds(np.array([0]), 5)


def test_the_bootstrap_interval_has_the_width_of_the_normal_one():
    differences = np.random.default_rng(0).choice([-1.0, 0.0, 1.0], p=[0.1, 0.7, 0.2], size=400)
    gain = bootstrap_gain(differences, 4000, np.random.default_rng(1))
    half = 1.96 * differences.std() / np.sqrt(400)
    assert gain.low == pytest.approx(gain.accuracy - half, abs=0.006)
    assert gain.high == pytest.approx(gain.accuracy + half, abs=0.006)
    assert gain.confidence == 0.95
