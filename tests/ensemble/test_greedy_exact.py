import numpy as np
import pytest
from plain_greedy import learned_library, plain_greedy, plain_rank, random_library

from raysearch.ensemble import greedy_vote
from raysearch.ensemble.direct_sum import MAX_CELLS
from raysearch.ensemble.selection import Score, Selection, select_greedy, select_uniform


@pytest.fixture(autouse=True, params=[0, MAX_CELLS], ids=["bounded", "direct where small"])
def both_sums(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small libraries are summed directly; the bounded sum must be exact on them too."""
    monkeypatch.setattr(greedy_vote, "MAX_CELLS", request.param)


def check_equal(selection: Selection, expected: tuple[list[int], list[Score]]) -> None:
    picks, scores = expected
    assert list(selection.picks) == picks
    assert list(selection.trajectory) == scores
    best = 1 + max(range(len(scores)), key=lambda k: scores[k].rank)
    assert selection.best_round == best
    np.testing.assert_array_equal(selection.weights, np.bincount(picks[:best], minlength=len(selection.weights)) / best)
    assert selection.best_single == picks[0]


@pytest.mark.parametrize("part", range(10))
def test_picks_and_scores_equal_the_plain_way_on_many_small_libraries(part):
    longest = 0
    for seed in range(200 * part, 200 * (part + 1)):
        probs, labels = random_library(seed)
        rounds = 1 + seed % 8
        expected = plain_greedy(probs, labels, rounds)
        check_equal(select_greedy(probs, labels, rounds), expected)
        longest = max(longest, len(set(expected[0])))
    assert longest >= 3  # the cases are not all won by one candidate


def test_picks_and_scores_equal_the_plain_way_on_wider_libraries_for_many_rounds():
    for seed in range(72):
        probs, labels = random_library(seed, candidates=30, samples=300, classes=12)
        check_equal(select_greedy(probs, labels, 25), plain_greedy(probs, labels, 25))


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
