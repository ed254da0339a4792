import numpy as np
import pytest

from raysearch.ensemble.calibration import (
    MAX_TEMPERATURE,
    MIN_TEMPERATURE,
    calibrate,
    expected_calibration_error,
    fit_temperature,
    scale_probs,
)
from raysearch.ensemble.comparison import ENSEMBLE, cross_fit_recipe
from raysearch.ensemble.methods import BoundRecipe
from raysearch.ensemble.recipe import Recipe
from raysearch.ensemble.selection import Candidates, log_losses, weighted_mean


def drawn(rng, samples=20_000, classes=4, temperature=1.0):
    """Probabilities, and labels drawn from them after scaling: calibrated at that temperature and no other."""
    logits = 2 * rng.normal(size=(samples, classes))
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    true = scale_probs(probs, temperature)
    labels = (rng.random((samples, 1)) > true.cumsum(axis=1)).sum(axis=1)
    return probs, np.minimum(labels, classes - 1)


def test_the_error_of_hand_made_bins():
    # 15 bins: 0.9 and 0.92 fall in (13/15, 14/15], 0.6 in (8/15, 9/15], its upper end included.
    probs = np.array([[0.9, 0.1], [0.92, 0.08], [0.6, 0.4], [0.4, 0.6]])
    labels = np.array([0, 1, 0, 1])
    expected = (abs(1.82 - 1) + abs(1.2 - 2)) / 4
    assert expected_calibration_error(probs, labels) == pytest.approx(expected)
    assert expected_calibration_error(probs, labels, bins=1) == pytest.approx(abs(3.02 - 3) / 4)


def test_sure_and_right_is_no_error_and_sure_and_wrong_the_whole():
    probs = np.eye(3)[[0, 1, 2]]
    assert expected_calibration_error(probs, np.array([0, 1, 2])) == 0
    assert expected_calibration_error(probs, np.array([1, 2, 0])) == 1


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_the_temperature_that_the_labels_were_drawn_at_is_found(temperature):
    probs, labels = drawn(np.random.default_rng(0), temperature=temperature)
    assert fit_temperature(probs, labels) == pytest.approx(temperature, rel=0.05)


@pytest.mark.parametrize("seed", range(5))
def test_no_temperature_nearby_has_a_smaller_log_loss(seed):
    probs, labels = drawn(np.random.default_rng(seed), samples=200, temperature=1.7)

    def loss(temperature):
        return -np.log(scale_probs(probs, temperature)[np.arange(200), labels]).mean()

    found = fit_temperature(probs, labels)
    assert loss(found) <= min(loss(found * 0.99), loss(found * 1.01), loss(1.0))


def test_scaling_keeps_the_order_and_sums_to_one_whatever_the_probabilities():
    probs = np.array([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.7, 0.2, 0.1], [1e-30, 1 - 2e-30, 1e-30]], dtype=np.float32)
    for temperature in (0.05, 1.0, 20.0):
        after = scale_probs(probs, temperature)
        np.testing.assert_allclose(after.sum(axis=1), 1)
        np.testing.assert_array_equal(after.argmax(axis=1), probs.argmax(axis=1))
    np.testing.assert_allclose(scale_probs(probs, 1.0), probs, rtol=1e-6)


@pytest.mark.parametrize(("labels", "limit"), [([0, 1, 2, 0], MIN_TEMPERATURE), ([1, 2, 0, 1], MAX_TEMPERATURE)])
@pytest.mark.parametrize("confidence", [0.4, 0.8, 1 - 1e-9])
def test_labels_that_are_all_right_or_all_wrong_have_exactly_a_limit_as_temperature(labels, limit, confidence):
    probs = np.full((4, 3), (1 - confidence) / 2)
    probs[np.arange(4), [0, 1, 2, 0]] = confidence
    assert fit_temperature(probs, np.array(labels)) == limit


def test_probabilities_without_information_have_the_upper_limit_as_temperature():
    """Labels unrelated to the probabilities: by chance, a few draws are best with some information left."""
    temperatures = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        probs = rng.dirichlet(np.ones(3), size=300)
        temperatures.append(fit_temperature(probs, rng.integers(3, size=300)))
    assert temperatures.count(MAX_TEMPERATURE) >= 8
    assert min(temperatures) > 3


def test_the_temperature_of_the_cross_fit_suits_new_samples_better_than_that_of_the_selections_own_samples():
    """The shipped ensemble is more accurate on the samples that it was selected on than on new ones."""
    temperatures, losses = [], []
    bound = BoundRecipe(Recipe(rounds=20, repeats=1))
    for seed in range(8):
        rng = np.random.default_rng(seed)
        labels = np.arange(3100) % 5
        logits = rng.normal(size=(30, 3100, 5)) + 0.3 * rng.normal(size=(3100, 5)) + 0.4 * np.eye(5)[labels]
        probs = np.exp(3 * logits)
        probs /= probs.sum(axis=2, keepdims=True)
        library = Candidates.from_probs(list(probs[:, :100]), labels[:100])
        weights, crossed = bound.select(library).weights, cross_fit_recipe(bound, library)
        new = weighted_mean(list(probs[:, 100:]), weights)
        best = fit_temperature(new, labels[100:])
        cross_fitted = calibrate(crossed.probs(library, ENSEMBLE), library.labels, crossed.fold_of).temperature
        in_sample = fit_temperature(weighted_mean(library, weights), library.labels)
        temperatures.append((best, cross_fitted, in_sample))
        losses.append([log_losses(scale_probs(new, T), labels[100:]).mean() for T in temperatures[-1]])
    best, cross_fitted, in_sample = np.mean(temperatures, axis=0)
    assert abs(cross_fitted - best) < 0.1
    assert in_sample < best - 0.1
    best, cross_fitted, in_sample = np.mean(losses, axis=0)
    assert best <= cross_fitted < in_sample - 0.01


def test_where_every_class_is_equally_probable_the_temperature_stays_one():
    assert fit_temperature(np.full((9, 3), 1 / 3), np.arange(9) % 3) == 1


def test_the_scaled_figures_use_temperatures_of_the_other_folds():
    rng = np.random.default_rng(3)
    probs, labels = drawn(rng, samples=4000, temperature=2.0)
    fold_of = np.arange(4000) % 2
    labels[fold_of == 1] = probs[fold_of == 1].argmax(axis=1)  # this half is always right: its own T would be small
    found = calibrate(probs, labels, fold_of)
    after = np.empty(probs.shape)
    for fold in (0, 1):
        after[fold_of == fold] = scale_probs(
            probs[fold_of == fold], fit_temperature(probs[fold_of != fold], labels[fold_of != fold])
        )
    assert found.ece_scaled == expected_calibration_error(after, labels)
    assert found.temperature == fit_temperature(probs, labels)


def test_scaling_calibrates_what_is_too_sure_of_itself():
    probs, labels = drawn(np.random.default_rng(1), samples=5000, temperature=2.5)
    found = calibrate(probs, labels, np.arange(5000) % 5)
    assert found.ece > 0.1
    assert found.ece_scaled < 0.03
    assert found.log_loss_scaled < found.log_loss
