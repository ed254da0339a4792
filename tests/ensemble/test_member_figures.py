import numpy as np
import pytest

from raysearch.ensemble.estimate import CrossFit, Fold, cross_fit
from raysearch.ensemble.members import measure_contributions, measure_disagreement
from raysearch.ensemble.selection import Candidates, score, select_greedy, weighted_mean


def library_of(rng, samples=60, candidates=5, classes=3):
    labels = np.arange(samples) % classes
    logits = rng.normal(size=(candidates, samples, classes)) + np.eye(classes)[labels]
    exp = np.exp(logits)
    return Candidates.from_probs(list(exp / exp.sum(axis=2, keepdims=True)), labels)


def crossed_of(*folds):
    return CrossFit((tuple(Fold(np.array(rows), {"ensemble": np.array(w)}) for rows, w in folds),), {})


def test_a_contribution_is_the_score_less_that_without_the_member_renormalised():
    library = library_of(np.random.default_rng(0))
    half = np.arange(30), np.arange(30, 60)
    weights = [0.5, 0.3, 0.2, 0, 0]
    first, second, third = measure_contributions(
        library, crossed_of(*((rows, weights) for rows in half)), "ensemble", [0, 1, 3]
    )
    whole = score(weighted_mean(library, np.array(weights)), library.labels)
    for found, rest in ((first, [0, 0.6, 0.4, 0, 0]), (second, [5 / 7, 0, 2 / 7, 0, 0])):
        without = score(weighted_mean(library, np.array(rest)), library.labels)
        assert found.accuracy == pytest.approx(whole.accuracy - without.accuracy)
        assert found.log_loss == pytest.approx(whole.log_loss - without.log_loss)
        assert found.chosen == 1
    assert (third.accuracy, third.log_loss, third.chosen) == (0, 0, 0)


def test_folds_that_did_not_choose_a_member_count_as_nothing():
    library = library_of(np.random.default_rng(1))
    half = np.arange(30), np.arange(30, 60)
    with_it, without_it = [0.5, 0.5, 0, 0, 0], [0, 1.0, 0, 0, 0]
    both = measure_contributions(library, crossed_of((half[0], with_it), (half[1], with_it)), "ensemble", [0])[0]
    first = measure_contributions(library, crossed_of((half[0], with_it), (half[1], without_it)), "ensemble", [0])[0]
    second = measure_contributions(library, crossed_of((half[0], without_it), (half[1], with_it)), "ensemble", [0])[0]
    assert first.chosen == second.chosen == 0.5
    assert first.log_loss + second.log_loss == pytest.approx(both.log_loss)


def test_a_member_that_is_alone_wherever_it_is_chosen_has_no_contribution():
    library = library_of(np.random.default_rng(2), candidates=1)
    assert measure_contributions(library, crossed_of((np.arange(60), [1.0])), "ensemble", [0]) == [None]


def test_of_two_equal_members_neither_adds_anything():
    probs = library_of(np.random.default_rng(3))[0]
    library = Candidates.from_probs([probs, probs], np.arange(60) % 3)
    for found in measure_contributions(library, crossed_of((np.arange(60), [0.5, 0.5])), "ensemble", [0, 1]):
        assert found.accuracy == 0
        assert found.log_loss == pytest.approx(0, abs=1e-12)


def test_a_member_whose_errors_no_other_makes_adds_more_than_one_that_is_noise():
    rng = np.random.default_rng(4)
    library = library_of(rng, samples=300, candidates=6)
    noise = np.full((300, 3), 1 / 3) + 0.01 * rng.normal(size=(300, 3)).clip(-3, 3)
    library = Candidates.from_probs([*library, noise / noise.sum(axis=1, keepdims=True)], library.labels)
    selectors = {"ensemble": lambda others: select_greedy(others, others.labels, 20).weights}
    crossed = cross_fit(library, selectors, folds=5, repeats=2, rng=rng)
    found = measure_contributions(library, crossed, "ensemble", range(7))
    assert min(one.log_loss for one in found[:6]) < found[6].log_loss
    assert max(one.accuracy for one in found[:6]) > 0.01


def test_disagreement_is_the_share_of_samples_with_another_top_class():
    members = [np.eye(3)[said] for said in ([0, 1, 2, 0], [0, 1, 1, 1], [0, 1, 2, 1])]
    found = measure_disagreement(members)
    assert found.matrix == ((0, 0.5, 0.25), (0.5, 0, 0.25), (0.25, 0.25, 0))
    assert found.mean == pytest.approx(1 / 3)


def test_equal_members_never_disagree_and_a_single_member_has_no_disagreement():
    probs = np.eye(3)[[0, 1, 2]]
    assert measure_disagreement([probs, probs]).mean == 0
    assert measure_disagreement([probs]) is None
