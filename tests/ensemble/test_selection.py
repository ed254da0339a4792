import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_greedy import random_library

from raysearch.ensemble.selection import PROBABILITY_FLOOR, score, select_greedy, select_uniform, weighted_mean

A = np.array([[0.8, 0.2], [0.6, 0.4], [0.7, 0.3]], dtype=np.float32)
B = np.array([[0.4, 0.6], [0.1, 0.9], [0.6, 0.4]], dtype=np.float32)
LABELS = np.array([0, 1, 0], dtype=np.int32)


def test_a_case_computed_by_hand():
    selection = select_greedy([A, B], LABELS, rounds=3)
    assert selection.picks == (0, 1, 0)
    assert [s.accuracy for s in selection.trajectory] == pytest.approx([2 / 3, 1, 1])
    assert [s.log_loss for s in selection.trajectory] == pytest.approx([0.4987, 0.4575, 0.4596], abs=1e-4)
    assert selection.best_round == 2
    assert selection.weights.tolist() == [0.5, 0.5]


def test_one_candidate_and_four_rounds_give_probabilities_that_sum_to_one():
    selection = select_greedy([A], LABELS, rounds=4)
    assert selection.weights.tolist() == [1.0]
    np.testing.assert_array_equal(weighted_mean([A], selection.weights), A.astype(np.float64))


def test_of_duplicates_the_earlier_is_picked():
    assert select_greedy([B, A, A], LABELS, rounds=1).picks == (1,)
    assert select_uniform([B, A, A], LABELS, best_n=2).picks == (1, 2)


def test_the_first_of_equal_rounds_is_the_best():
    assert select_greedy([A, A], LABELS, rounds=8).best_round == 1


def test_a_tie_of_classes_goes_to_the_lowest_index():
    tied = np.array([[0.5, 0.5]], dtype=np.float32)
    assert select_greedy([tied], np.array([0]), rounds=1).trajectory[0].accuracy == 1
    assert select_greedy([tied], np.array([1]), rounds=1).trajectory[0].accuracy == 0


def test_a_sure_mistake_has_a_finite_log_loss():
    sure = np.array([[1.0, 0.0]], dtype=np.float32)
    assert score(sure, np.array([1])).log_loss == pytest.approx(-np.log(PROBABILITY_FLOOR))


def test_a_class_without_held_out_samples_is_no_obstacle():
    probs = [np.hstack([p, np.zeros((3, 1), dtype=np.float32)]) for p in (A, B)]
    assert select_greedy(probs, LABELS, rounds=3).picks == (0, 1, 0)


def test_uniform_is_the_plain_mean_of_the_best():
    worst = 1 - A
    selection = select_uniform([worst, A, B], LABELS, best_n=2)
    assert selection.weights.tolist() == [0, 0.5, 0.5]
    assert selection.best_round == 2
    np.testing.assert_allclose(weighted_mean([worst, A, B], selection.weights), (A + B) / 2, rtol=1e-6)


def test_uniform_of_more_than_there_are_takes_all():
    assert select_uniform([A, B], LABELS, best_n=16).weights.tolist() == [0.5, 0.5]


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10**6), rounds=st.integers(1, 8))
def test_weights_are_shares_that_sum_to_one_and_so_does_the_mean(seed, rounds):
    probs, labels = random_library(seed)
    sums = np.mean([p.sum(axis=1, dtype=np.float64) for p in probs])
    for selection in (select_greedy(probs, labels, rounds), select_uniform(probs, labels, rounds)):
        assert (selection.weights >= 0).all()
        assert selection.weights.sum() == pytest.approx(1, abs=1e-12)
        if sums == pytest.approx(1, abs=1e-2):  # else they are scores, no probabilities
            np.testing.assert_allclose(weighted_mean(probs, selection.weights).sum(axis=1), 1, atol=1e-2)


def test_the_library_is_read_and_never_written():
    probs = [A.copy(), B.copy()]
    for candidate in probs:
        candidate.flags.writeable = False
    assert select_greedy(probs, LABELS, rounds=3).picks == (0, 1, 0)
