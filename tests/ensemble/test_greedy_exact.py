from collections.abc import Sequence

import numpy as np
import pytest
from plain_greedy import learned_library, plain_greedy, plain_rank, random_library

from raysearch.ensemble import greedy_vote
from raysearch.ensemble.direct_sum import MAX_BYTES, MAX_CELLS, DirectSum
from raysearch.ensemble.greedy_vote import COUNT_CELLS
from raysearch.ensemble.selection import Candidates, Score, Selection, SelectionObjective, select_greedy, select_uniform

OBJECTIVES: tuple[SelectionObjective, ...] = ("accuracy", "balanced_accuracy")


SUMS = {
    "bounded": {"MAX_CELLS": 0, "MAX_BYTES": 0},
    "direct where small": {"MAX_CELLS": MAX_CELLS},
    "bounded, then direct": {"MAX_CELLS": 0, "COUNT_CELLS": 200},  # so that small libraries change within the rounds
}


@pytest.fixture(autouse=True, params=SUMS.values(), ids=list(SUMS))
def every_sum(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small libraries are summed directly; bounds, and a change from one to the other, must be exact on them too."""
    for name, value in request.param.items():
        monkeypatch.setattr(greedy_vote, name, value)


def check_equal(selection: Selection, expected: tuple[list[int], list[Score]]) -> None:
    picks, scores = expected
    assert list(selection.picks) == picks
    assert list(selection.trajectory) == scores
    best = 1 + max(range(len(scores)), key=lambda k: scores[k].rank)
    assert selection.best_round == best
    np.testing.assert_array_equal(selection.weights, np.bincount(picks[:best], minlength=len(selection.weights)) / best)
    assert selection.best_single == picks[0]


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("part", range(10))
def test_picks_and_scores_equal_the_plain_way_on_many_small_libraries(part, objective):
    longest = 0
    for seed in range(200 * part, 200 * (part + 1)):
        probs, labels = random_library(seed)
        rounds = 1 + seed % 8
        expected = plain_greedy(probs, labels, rounds, objective=objective)
        candidates = Candidates.from_probs(probs, labels, objective)
        check_equal(select_greedy(candidates, labels, rounds), expected)
        longest = max(longest, len(set(expected[0])))
    assert longest >= 3  # the cases are not all won by one candidate


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_picks_and_scores_equal_the_plain_way_on_wider_libraries_for_many_rounds(objective):
    for seed in range(42):
        probs, labels = random_library(seed, candidates=30, samples=300, classes=12)
        candidates = Candidates.from_probs(probs, labels, objective)
        check_equal(select_greedy(candidates, labels, 25), plain_greedy(probs, labels, 25, objective=objective))


@pytest.mark.parametrize("classes", [5, 60], ids=["weights in int64", "weights beyond int64"])
def test_classes_of_very_different_sizes_equal_the_plain_way(classes):
    rng = np.random.default_rng(0)
    sizes = 1 + rng.permutation(classes)
    probs, _ = learned_library(3, 12, int(sizes.sum()), classes)
    labels = rng.permutation(np.repeat(np.arange(classes), sizes))
    candidates = Candidates.from_probs(probs, labels, "balanced_accuracy")
    assert candidates.weighting.weights.dtype == (np.int64 if classes == 5 else object)
    found = select_greedy(candidates, labels, 10)
    check_equal(found, plain_greedy(probs, labels, 10, objective="balanced_accuracy"))
    assert found.picks != select_greedy(probs, labels, 10).picks


def test_a_selection_from_noise_becomes_direct_and_one_from_learned_candidates_does_not(monkeypatch):
    monkeypatch.setattr(greedy_vote, "MAX_CELLS", 0)
    monkeypatch.setattr(greedy_vote, "MAX_BYTES", MAX_BYTES)
    monkeypatch.setattr(greedy_vote, "COUNT_CELLS", COUNT_CELLS)
    started = []

    def make_direct(candidates: Candidates, picks: Sequence[int]) -> DirectSum:
        started.append(len(picks))
        return DirectSum(candidates, picks)

    monkeypatch.setattr(greedy_vote, "DirectSum", make_direct)
    labels = np.arange(100) % 10
    noise = np.random.default_rng(0).dirichlet(np.full(10, 1e6), size=(100, 100))
    assert select_greedy(list(noise), labels, 10).picks == tuple(plain_greedy(noise, labels, 10)[0])
    assert len(started) == 1
    assert 0 < started[0] < 5
    probs, labels = learned_library(0, 30, 800, 10)
    select_greedy(probs, labels, 50)
    assert len(started) == 1


@pytest.mark.parametrize(
    ("candidates", "samples", "classes", "dtype"),
    [(16, 2000, 200, np.float32), (100, 2000, 50, np.float16), (400, 1500, 10, np.float32)],
)
def test_fifty_rounds_equal_the_plain_way_on_large_libraries(candidates, samples, classes, dtype):
    probs, labels = learned_library(0, candidates, samples, classes, dtype)
    expected = plain_greedy(probs, labels, 50)
    check_equal(select_greedy(probs, labels, 50), expected)
    assert len(set(expected[0])) >= 8


def test_a_sorted_start_is_the_best_mean_of_the_best_singles_and_greedy_from_there():
    lengths = set()
    for seed in range(300):
        probs, labels = random_library(seed, candidates=10, samples=20)
        singles = [plain_rank(p.astype(np.float64), labels, 1) for p in probs]
        order = sorted(range(len(probs)), key=lambda j: (*singles[j], j))[: min(5, 1 + seed % 8)]
        _, scores = plain_greedy(probs, labels, len(order), start=order)
        start = order[: 1 + max(range(len(order)), key=lambda k: scores[k].rank)]
        lengths.add(len(start))
        expected = plain_greedy(probs, labels, 1 + seed % 8, start=start)
        check_equal(select_greedy(probs, labels, 1 + seed % 8, sorted_start=5), expected)
    assert lengths >= {1, 2, 3, 4}


def test_a_sorted_start_of_one_changes_nothing():
    probs, labels = learned_library(1, 12, 100, 5)
    assert select_greedy(probs, labels, 9, sorted_start=1).picks == select_greedy(probs, labels, 9).picks


def test_uniform_scores_equal_the_plain_way():
    for seed in range(300):
        probs, labels = random_library(seed)
        picks = select_uniform(probs, labels, 4).picks
        singles = [plain_rank(p.astype(np.float64), labels, 1) for p in probs]
        assert list(picks) == sorted(range(len(probs)), key=lambda j: (*singles[j], j))[:4]
        _, scores = plain_greedy(probs, labels, len(picks), start=picks)
        assert list(select_uniform(probs, labels, 4).trajectory) == scores
