import numpy as np
import pytest
from plain_greedy import KINDS, learned_library, random_library

from raysearch.ensemble.refine import MIN_WEIGHT
from raysearch.ensemble.selection import refine_weights, score, select_greedy, weighted_mean


def log_loss(probs, labels, weights) -> float:
    return score(weighted_mean(probs, weights), labels).log_loss


def test_two_members_of_known_proportions_are_found():
    # Label probabilities (1, 0) a times and (0, 1) b times: the log loss is least at weights a, b over their sum.
    labels = np.zeros(10, dtype=np.int64)
    one = np.array([[1.0, 0.0]] * 7 + [[0.0, 1.0]] * 3)
    np.testing.assert_allclose(refine_weights([one, 1 - one], labels, np.array([0.5, 0.5])), [0.7, 0.3], atol=1e-6)


def test_no_other_weights_are_better():
    probs, labels = learned_library(0, 4, 300, 5)
    found = refine_weights(probs, labels, np.full(4, 0.25))
    least = log_loss(probs, labels, found)
    rng = np.random.default_rng(0)
    others = [*rng.dirichlet(np.ones(4), size=300), *(found * 0.97 + 0.03 * row for row in np.eye(4))]
    assert min(log_loss(probs, labels, other) for other in others) >= least - 2e-5


def test_weights_stay_shares_over_the_same_members_and_the_log_loss_never_rises():
    for seed in range(200):
        probs, labels = random_library(seed)
        if KINDS[seed % len(KINDS)] == "scores":
            continue  # no probabilities
        start = select_greedy(probs, labels, 6).weights
        found = refine_weights(probs, labels, start)
        assert (found >= 0).all()
        assert found.sum() == pytest.approx(1, abs=1e-12)
        assert (found[start == 0] == 0).all()
        assert log_loss(probs, labels, found) <= log_loss(probs, labels, start) + 1e-12


def test_it_lowers_the_log_loss_of_a_plain_mean_of_good_and_bad():
    probs, labels = learned_library(1, 3, 300, 5)
    probs.append(np.full_like(probs[0], 0.2))
    start = np.full(4, 0.25)
    found = refine_weights(probs, labels, start)
    assert log_loss(probs, labels, found) < log_loss(probs, labels, start) - 0.01
    assert found[3] < 0.05


def test_a_member_that_only_harms_is_dropped():
    probs, labels = learned_library(2, 3, 300, 5)
    harmful = [*probs, np.roll(probs[0], 1, axis=1)]
    found = refine_weights(harmful, labels, np.full(4, 0.25))
    assert found[3] == 0
    assert found[found > 0].min() >= MIN_WEIGHT


def test_labels_that_no_member_gives_any_probability_are_no_obstacle():
    sure = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    other = np.array([[0.6, 0.4], [0.6, 0.4], [1.0, 0.0]])
    found = refine_weights([sure, other], np.array([0, 0, 1]), np.array([0.5, 0.5]))
    assert np.isfinite(found).all()
    assert found.sum() == pytest.approx(1)


def test_one_member_keeps_all_the_weight():
    probs, labels = learned_library(3, 3, 50, 4)
    assert refine_weights(probs, labels, np.array([0.0, 1.0, 0.0])).tolist() == [0, 1, 0]


def test_the_start_is_not_changed_in_place():
    probs, labels = learned_library(4, 3, 50, 4)
    start = np.full(3, 1 / 3)
    refine_weights(probs, labels, start)
    assert start.tolist() == [1 / 3] * 3
