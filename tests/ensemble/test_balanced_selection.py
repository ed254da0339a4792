"""Selection by balanced accuracy: its exact value, the same measure in all figures, and its name in all texts."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score

from raysearch.ensemble.build import build_ensemble
from raysearch.ensemble.intervals import bootstrap_gain, share_interval
from raysearch.ensemble.library import load_library
from raysearch.ensemble.members import measure_contributions
from raysearch.ensemble.recipe import Recipe
from raysearch.ensemble.results import ensemble_probs, read_ensemble, write_ensemble
from raysearch.ensemble.selection import Candidates, score, select_greedy, weighted_mean
from raysearch.ensemble.terminal import figures_table, members_table, sentences
from raysearch.ensemble.weighting import Weighting
from raysearch.io import read_yaml, write_yaml

QUICK = Recipe(rounds=10, repeats=2, bootstrap=200)
LABELS = np.repeat([0, 1, 2], [44, 12, 4]).astype(np.int32)


def unequal_probs(seed: int) -> np.ndarray:
    """Odd seeds are good on the large class, even ones on the two small ones."""
    logits = np.random.default_rng(seed).normal(size=(len(LABELS), 3))
    favoured = LABELS == 0 if seed % 2 else LABELS > 0
    logits[np.arange(len(LABELS)), LABELS] += np.where(favoured, 1.5, -0.5)
    probs = np.exp(logits)
    return (probs / probs.sum(axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def unequal_study(study, write_view):
    """Six trials on classes of 44, 12 and 4 samples, of a search by balanced accuracy."""
    for number in range(6):
        write_view(number, probs=unequal_probs(number), labels=LABELS)
    content = read_yaml(study.study)
    content["space"]["search"] = {"objective": "balanced_accuracy"}
    write_yaml(study.study, content)
    return study


def test_it_is_the_mean_recall_of_the_classes_that_have_samples():
    probs, labels = unequal_probs(0), np.where(LABELS == 1, 0, LABELS)  # class 1 has no samples
    is_right = probs.argmax(axis=1) == labels
    expected = (is_right[labels == 0].mean() + is_right[labels == 2].mean()) / 2
    assert score(probs, labels, "balanced_accuracy").balanced_accuracy == pytest.approx(expected, abs=1e-12)
    assert score(probs, labels, "balanced_accuracy").rank == (
        pytest.approx(expected),
        -score(probs, labels).log_loss,
    )
    assert score(probs, labels).balanced_accuracy is None


def test_equal_shares_of_different_classes_are_an_exact_tie():
    """1/6 + 1/3 of two classes equals 1/2 of a third, but not in floating point sums of any order."""
    labels = np.repeat([0, 1, 2], [6, 3, 2])
    weighting = Weighting.from_labels(labels, "balanced_accuracy")
    one, other = np.zeros(11, dtype=bool), np.zeros(11, dtype=bool)
    one[[0, 6]] = True
    other[9] = True
    shares = [weighting.score(weighting.count(is_right), 0.0).balanced_accuracy for is_right in (one, other)]
    assert shares[0] == shares[1] == 1 / 6
    assert weighting.weigh(weighting.count(one)) == weighting.weigh(weighting.count(other)) == 3


@pytest.mark.parametrize("sizes", [[5, 5, 5], [1, 2, 3, 4], [44, 0, 12, 4]])
def test_the_effective_size_is_that_of_a_mean_of_shares(sizes):
    labels = np.repeat(np.arange(len(sizes)), sizes)
    present = np.array([size for size in sizes if size])
    weighting = Weighting.from_labels(labels, "balanced_accuracy")
    assert weighting.effective_size == pytest.approx(len(present) ** 2 / (1 / present).sum())
    assert weighting.sample_weights.mean() == pytest.approx(1)
    assert Weighting.from_labels(labels, "accuracy").effective_size == len(labels)


def test_a_part_of_the_samples_is_weighed_by_its_own_class_sizes():
    rows = np.flatnonzero(np.arange(60) % 2)
    part = Candidates.from_probs([unequal_probs(k) for k in range(6)], LABELS, "balanced_accuracy").with_samples(rows)
    copies = Candidates.from_probs([unequal_probs(k)[rows] for k in range(6)], LABELS[rows], "balanced_accuracy")
    ours, theirs = (select_greedy(one, LABELS[rows], 8) for one in (part, copies))
    assert (ours.picks, ours.trajectory) == (theirs.picks, theirs.trajectory)
    assert part.only(np.array([2, 4])).singles == [part.singles[2], part.singles[4]]


def test_an_ensemble_follows_the_objective_of_the_search_unless_its_recipe_says_otherwise(unequal_study):
    balanced = build_ensemble(unequal_study, QUICK)
    plain = build_ensemble(unequal_study, QUICK.model_copy(update={"objective": "accuracy"}))
    assert (balanced.recipe.objective, plain.recipe.objective) == ("balanced_accuracy", "accuracy")
    probs = ensemble_probs(balanced, load_library(unequal_study))
    expected = balanced_accuracy_score(LABELS, probs.argmax(axis=1))
    assert balanced.in_sample.balanced_accuracy == pytest.approx(expected)
    assert balanced.trajectory[balanced.best_round - 1].balanced_accuracy == pytest.approx(expected)
    other = balanced_accuracy_score(LABELS, ensemble_probs(plain, load_library(unequal_study)).argmax(axis=1))
    assert expected > other
    assert plain.in_sample.balanced_accuracy is None
    assert int(balanced.best_single.name[:4]) % 2 == 0
    assert int(plain.best_single.name[:4]) % 2 == 1


def test_cross_fitted_figures_gain_and_contributions_are_of_the_balanced_accuracy(unequal_study):
    found = build_ensemble(unequal_study, QUICK)
    fitted, gain, single = found.cross_fitted, found.gain, found.best_single.cross_fitted
    assert gain.balanced_accuracy == pytest.approx(fitted.balanced_accuracy - single.balanced_accuracy)
    assert gain.accuracy == pytest.approx(fitted.accuracy - single.accuracy)
    assert gain.low <= gain.value == gain.balanced_accuracy <= gain.high
    n = 3**2 / (1 / 44 + 1 / 12 + 1 / 4)
    assert (fitted.low, fitted.high) == pytest.approx(share_interval(fitted.balanced_accuracy, n))
    assert all(member.contribution.balanced_accuracy is not None for member in found.members)
    write_ensemble(unequal_study.ensemble("greedy"), found)
    assert read_ensemble(unequal_study.ensemble("greedy")) == found


def test_a_contribution_is_the_difference_of_the_two_balanced_accuracies():
    from raysearch.ensemble.estimate import cross_fit

    library = Candidates.from_probs([unequal_probs(k) for k in range(3)], LABELS, "balanced_accuracy")
    weights = np.array([0.5, 0.25, 0.25])
    crossed = cross_fit(library, {"all": lambda _: weights}, folds=4, repeats=1, rng=np.random.default_rng(0))
    (found,) = measure_contributions(library, crossed, "all", [0])
    whole, rest = (weighted_mean(library, np.array(w)) for w in (weights, [0, 0.5, 0.5]))
    expected = [balanced_accuracy_score(LABELS, probs.argmax(axis=1)) for probs in (whole, rest)]
    assert found.balanced_accuracy == pytest.approx(expected[0] - expected[1])
    assert crossed.outcomes["all"].score.balanced_accuracy == pytest.approx(expected[0])


def test_the_gain_s_interval_covers_the_true_gain_in_balanced_accuracy():
    """Class 0 gains 10 points, class 1 loses 10 and class 2 gains 30: 10 points on average over the classes."""
    covered = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        labels = rng.choice(3, size=300, p=[0.6, 0.3, 0.1])
        means = np.array([0.1, -0.1, 0.3])[labels]
        differences = np.where(rng.random(300) < np.abs(means), np.sign(means), 0.0)
        # One partition of two folds: the interval is wider than that of 300 independent samples.
        gain = bootstrap_gain(differences[None], 1000, 300, np.random.default_rng(0), labels)
        covered += gain.low <= 0.1 <= gain.high
    assert covered >= 95


def test_texts_name_the_measure(unequal_study):
    found = build_ensemble(unequal_study, QUICK)
    text = " ".join(sentences(found))
    assert f"{100 * found.gain.balanced_accuracy:+.1f} points of balanced accuracy" in text
    assert figures_table(found).title == "Balanced accuracy (log loss) on 60 held-out samples"
    assert "change of balanced accuracy and log loss" in str(members_table(found, []).caption)
    plain = build_ensemble(unequal_study, QUICK.model_copy(update={"objective": "accuracy"}))
    assert "points of accuracy" in " ".join(sentences(plain))
    assert figures_table(plain).title == "Accuracy (log loss) on 60 held-out samples"


def test_a_file_without_the_new_figures_can_be_read(unequal_study):
    found = build_ensemble(unequal_study, QUICK.model_copy(update={"objective": "accuracy"}))
    path = unequal_study.ensemble("greedy")
    write_ensemble(path, replace(found, name="greedy"))
    text = path.read_text()
    assert '"balanced_accuracy": null' in text
    path.write_text(text.replace('"balanced_accuracy": null,', "").replace(', "balanced_accuracy": null', ""))
    assert read_ensemble(path).cross_fitted == found.cross_fitted
