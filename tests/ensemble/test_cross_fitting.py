import numpy as np
import pytest

from raysearch.ensemble.estimate import cross_fit, stratified_folds, usable_folds
from raysearch.ensemble.intervals import bootstrap_gain, share_interval
from raysearch.ensemble.methods import BoundRecipe
from raysearch.ensemble.recipe import Recipe
from raysearch.ensemble.selection import Candidates, score, weighted_mean
from raysearch.errors import PredictionsError

GREEDY = BoundRecipe(Recipe(rounds=15))
CHANCE = 0.25


def softmax(logits):
    exp = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return (exp / exp.sum(axis=-1, keepdims=True)).astype(np.float32)


def noise_library(rng, samples=300, candidates=30, classes=4):
    labels = np.arange(samples) % classes
    return Candidates.from_probs(list(softmax(2 * rng.normal(size=(candidates, samples, classes)))), labels)


def signal_library(rng, samples, strengths=(1.0, 1.2, 1.4, 1.4, 1.6), classes=5):
    """Candidates of given strengths, whose errors are partly shared."""
    labels = np.arange(samples) % classes
    shared = rng.normal(size=(samples, classes))
    logits = [s * np.eye(classes)[labels] + 0.5 * shared + rng.normal(size=shared.shape) for s in strengths]
    return Candidates.from_probs([softmax(x) for x in logits], labels)


def selectors_of(bound):
    return {
        "ensemble": lambda library: bound.select(library).weights,
        "single": lambda library: bound.weigh_best(library, 1),
        "baseline": lambda library: bound.weigh_best(library, 3),
    }


def estimate(library, bound=GREEDY, seed=0, folds=5, repeats=2):
    return cross_fit(library, selectors_of(bound), folds=folds, repeats=repeats, rng=np.random.default_rng(seed))


def gain_of(found, seed=0, resamples=300):
    differences = found.outcomes["ensemble"].hits - found.outcomes["single"].hits
    return bootstrap_gain(differences, found.folds, resamples, np.random.default_rng(seed))


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(rounds=15),
        Recipe(rounds=15, sorted_start=5),
        Recipe(rounds=15, refine="log_loss"),
        Recipe(method="bagged", rounds=10, bags=4),
        Recipe(method="uniform", best_n=4),
    ],
    ids=["greedy", "sorted_start", "refined", "bagged", "uniform"],
)
def test_pure_noise_is_above_chance_in_sample_and_at_chance_cross_fitted(recipe):
    in_sample, cross_fitted = [], []
    for seed in range(10):
        library = noise_library(np.random.default_rng(seed))
        weights = BoundRecipe(recipe).select(library).weights
        in_sample.append(score(weighted_mean(library, weights), library.labels).accuracy)
        cross_fitted.append(estimate(library, BoundRecipe(recipe), repeats=1).outcomes["ensemble"].score.accuracy)
    assert np.mean(in_sample) > CHANCE + 0.05
    assert np.mean(cross_fitted) == pytest.approx(CHANCE, abs=0.02)


def test_the_cross_fitted_figure_is_unbiased_where_the_in_sample_one_is_not():
    """Many weak candidates: the selection overfits; fresh samples from the same generator give its true accuracy."""
    strengths = np.linspace(0.3, 0.9, 30)
    fresh = signal_library(np.random.default_rng(99), 20_000, strengths)
    in_sample, cross_fitted = [], []
    for seed in range(20):
        library = signal_library(np.random.default_rng(seed), 200, strengths)
        weights = GREEDY.select(library).weights
        true = score(weighted_mean(fresh, weights), fresh.labels).accuracy
        in_sample.append(score(weighted_mean(library, weights), library.labels).accuracy - true)
        cross_fitted.append(estimate(library, repeats=1).outcomes["ensemble"].score.accuracy - true)
    assert np.mean(in_sample) > 0.06
    assert np.mean(cross_fitted) == pytest.approx(0, abs=0.02)


def test_intervals_usually_hold_the_true_accuracy_and_the_true_gain():
    fresh = signal_library(np.random.default_rng(99), 20_000)
    singles = [single.accuracy for single in fresh.singles]
    covered = np.zeros(2)
    for seed in range(20):
        library = signal_library(np.random.default_rng(seed), 300)
        found, selection = estimate(library), GREEDY.select(library)
        true = score(weighted_mean(fresh, selection.weights), fresh.labels).accuracy
        gain = gain_of(found)
        low, high = share_interval(found.outcomes["ensemble"].score.accuracy, 300)
        covered += low <= true <= high, gain.low <= true - singles[selection.best_single] <= gain.high
    assert min(covered) >= 17


def test_the_gain_s_interval_holds_where_many_candidates_are_alike_and_chance_names_the_best():
    """All candidates are equally good, so each fold selects those that happen to do worse on its left-out samples."""
    strengths = np.full(16, 1.2)
    fresh = signal_library(np.random.default_rng(99), 20_000, strengths)
    singles = [single.accuracy for single in fresh.singles]
    covered = 0
    for seed in range(40):
        library = signal_library(np.random.default_rng(seed), 200, strengths)
        gain, selection = gain_of(estimate(library, repeats=4)), GREEDY.select(library)
        true = score(weighted_mean(fresh, selection.weights), fresh.labels).accuracy - singles[selection.best_single]
        covered += gain.low <= true <= gain.high
    assert covered >= 36


def test_the_gain_is_the_difference_of_the_two_figures_and_lies_in_its_interval():
    found = estimate(signal_library(np.random.default_rng(1), 200))
    gain = gain_of(found)
    accuracies = [found.outcomes[selector].score.accuracy for selector in ("ensemble", "single")]
    assert gain.accuracy == pytest.approx(accuracies[0] - accuracies[1])
    assert gain.low <= gain.accuracy <= gain.high
    assert gain.is_certain == (gain.low > 0)


def test_one_candidate_gains_nothing():
    library = signal_library(np.random.default_rng(1), 50, strengths=(1.0,))
    found = estimate(library)
    for outcome in found.outcomes.values():
        assert outcome.score.accuracy == library.singles[0].accuracy
        assert outcome.score.log_loss == pytest.approx(library.singles[0].log_loss)
    gain = gain_of(found)
    assert (gain.accuracy, gain.low, gain.high) == (0, 0, 0)
    assert not gain.is_certain


def test_the_same_seed_gives_the_same_figures_and_another_seed_others():
    library = signal_library(np.random.default_rng(2), 100)
    first, again, other = (estimate(library, seed=seed).outcomes["ensemble"].score for seed in (3, 3, 4))
    assert first == again
    assert first != other


def test_each_sample_is_scored_by_a_selection_that_did_not_see_it():
    library = signal_library(np.random.default_rng(5), 40)
    seen = []

    def choose(others):
        seen.append({row.tobytes() for row in others[0]})
        return np.eye(len(others))[0]

    found = cross_fit(library, {"ensemble": choose}, folds=4, repeats=1, rng=np.random.default_rng(0))
    everything = {row.tobytes() for row in library[0]}
    left_out = [everything - rows for rows in seen]
    assert [len(rows) for rows in left_out] == [10, 10, 10, 10]
    assert set.union(*left_out) == everything
    for rows, fold in zip(left_out, found.partitions[0], strict=True):
        assert rows == {row.tobytes() for row in library.with_samples(fold.left_out)[0]}


def test_probabilities_come_from_the_selections_of_the_first_partition():
    library = signal_library(np.random.default_rng(5), 40)
    found = estimate(library, repeats=3)
    probs = found.probs(library, "single")
    for number, fold in enumerate(found.partitions[0]):
        expected = library[int(fold.weights["single"].argmax())][fold.left_out]
        np.testing.assert_array_equal(probs[fold.left_out], expected.astype(np.float64))
        assert (found.fold_of[fold.left_out] == number).all()


def test_folds_are_balanced_over_all_and_within_each_class():
    labels = np.repeat([0, 1, 2], [11, 7, 23])
    fold_of = stratified_folds(labels, 5, np.random.default_rng(0))
    for group in (labels >= 0, labels == 0, labels == 1, labels == 2):
        sizes = np.bincount(fold_of[group], minlength=5)
        assert sizes.max() - sizes.min() <= 1
    assert (fold_of != stratified_folds(labels, 5, np.random.default_rng(1))).any()


@pytest.mark.parametrize(("counts", "expected"), [([9, 9], 5), ([9, 0, 3], 3), ([9, 1], 2)])
def test_a_class_with_fewer_samples_than_folds_reduces_the_folds(counts, expected):
    assert usable_folds(np.repeat(np.arange(len(counts)), counts), 5) == expected


def test_a_single_sample_cannot_be_cross_fitted():
    with pytest.raises(PredictionsError, match="at least 2 held-out samples, got 1"):
        usable_folds(np.array([0]), 5)


@pytest.mark.parametrize(("partitions", "folds"), [(1, 2), (4, 5), (1, 10)])
def test_the_bootstrap_interval_has_the_width_of_the_corrected_normal_one(partitions, folds):
    differences = np.random.default_rng(0).choice([-1.0, 0.0, 1.0], p=[0.1, 0.7, 0.2], size=(partitions, 400))
    gain = bootstrap_gain(differences, folds, 4000, np.random.default_rng(1))
    # Nadeau and Bengio (2003), on the variance of the splits' means, each of 400 / folds samples.
    variance = (1 / (partitions * folds) + 1 / (folds - 1)) * differences.var() / (400 / folds)
    half = 1.96 * np.sqrt(variance)
    assert gain.low == pytest.approx(gain.accuracy - half, abs=0.01)
    assert gain.high == pytest.approx(gain.accuracy + half, abs=0.01)
    assert gain.confidence == 0.95


@pytest.mark.parametrize(
    ("share", "n", "expected"),
    [(0.5, 100, (0.4038, 0.5962)), (1.0, 20, (0.8389, 1.0)), (0.0, 20, (0.0, 0.1611)), (0.9, 50, (0.7864, 0.9565))],
)
def test_the_interval_of_a_share_is_wilson_s(share, n, expected):
    assert share_interval(share, n) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_the_interval_of_a_share_of_none_or_all_contains_it_exactly(share):
    for n in range(1, 200):
        low, high = share_interval(share, n)
        assert low <= share <= high
