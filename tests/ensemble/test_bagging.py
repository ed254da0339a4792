import numpy as np
import pytest
from plain_greedy import learned_library, random_library

from raysearch.ensemble.bagging import draw_bags
from raysearch.ensemble.selection import Candidates, Cap, Selection, select_bagged, select_greedy

PROBS, LABELS = learned_library(0, 12, 200, 6)


def select(seed: int = 0, share: float = 0.5, bags: int = 10, rounds: int = 15) -> Selection:
    return select_bagged(PROBS, LABELS, rounds, bags=bags, share=share, rng=np.random.default_rng(seed))


@pytest.mark.parametrize("share", [1e-9, 0.01, 0.34, 0.5, 1.0])
def test_a_bag_is_a_share_of_the_library_and_never_empty(share):
    library = np.array([3, 4, 8, 9, 11, 20])
    bags = list(draw_bags(library, 50, share, np.random.default_rng(0)))
    assert len(bags) == 50
    assert {len(bag) for bag in bags} == {max(1, round(share * 6))}
    assert all(len(set(bag)) == len(bag) and set(bag) <= set(library) for bag in bags)
    assert set(np.concatenate(bags)) == set(library)


def test_weights_are_the_mean_of_the_bags_own():
    bags = list(draw_bags(np.arange(12), 10, 0.5, np.random.default_rng(0)))
    expected = np.zeros(12)
    for bag in bags:
        expected[bag] += select_greedy([PROBS[member] for member in bag], LABELS, 15).weights / 10
    np.testing.assert_allclose(select().weights, expected, atol=1e-15)


def test_a_bag_of_the_whole_library_is_greedy_selection():
    np.testing.assert_array_equal(select(share=1.0, bags=1).weights, select_greedy(PROBS, LABELS, 15).weights)


def test_the_same_seed_selects_the_same_and_another_does_not():
    np.testing.assert_array_equal(select(seed=1).weights, select(seed=1).weights)
    assert not np.array_equal(select(seed=1).weights, select(seed=2).weights)


def test_more_candidates_take_part_than_in_greedy_selection():
    assert np.count_nonzero(select().weights) > np.count_nonzero(select_greedy(PROBS, LABELS, 15).weights)


def test_the_best_single_is_that_of_the_whole_library_even_if_no_bag_holds_it():
    best = select_greedy(PROBS, LABELS, 1).picks[0]
    selections = [select(seed, share=0.1, bags=1) for seed in range(30)]
    assert {selection.best_single for selection in selections} == {best}
    assert any(selection.weights[best] == 0 for selection in selections)


def test_each_bag_has_one_entry_with_its_best_single_and_its_score():
    selection = select(bags=4)
    assert len(selection.picks) == len(selection.trajectory) == selection.best_round == 4
    bags = list(draw_bags(np.arange(12), 4, 0.5, np.random.default_rng(0)))
    for bag, pick, score in zip(bags, selection.picks, selection.trajectory, strict=True):
        alone = select_greedy([PROBS[member] for member in bag], LABELS, 15)
        assert (pick, score) == (bag[alone.picks[0]], alone.trajectory[alone.best_round - 1])


def test_weights_sum_to_one_on_any_library():
    for seed in range(100):
        probs, labels = random_library(seed)
        rng = np.random.default_rng(seed)
        selection = select_bagged(probs, labels, 5, bags=4, share=0.3, rng=rng, sorted_start=seed % 4)
        assert (selection.weights >= 0).all()
        assert selection.weights.sum() == pytest.approx(1, abs=1e-12)
        assert selection.best_single == select_greedy(probs, labels, 1).picks[0]


def test_if_all_bags_together_exceed_a_cap_selection_repeats_from_the_heaviest_candidates():
    cap = Cap(np.arange(12), np.ones(12), 4, "max_members")
    without = select().weights
    capped = select_bagged(PROBS, LABELS, 15, bags=10, share=0.5, rng=np.random.default_rng(0), caps=[cap])
    assert np.count_nonzero(without) > 4
    assert np.count_nonzero(capped.weights) == 4
    assert capped.weights.max() < 0.9  # bags of one candidate each would still be averaged


def test_a_summary_made_before_is_used():
    rng = np.random.default_rng(0)
    given = select_bagged(Candidates.from_probs(PROBS, LABELS), LABELS, 15, bags=10, share=0.5, rng=rng)
    np.testing.assert_array_equal(given.weights, select().weights)
