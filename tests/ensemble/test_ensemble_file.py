import json
from dataclasses import replace

import numpy as np
import pytest

from raysearch.ensemble.build import build_ensemble
from raysearch.ensemble.intervals import Gain
from raysearch.ensemble.library import load_library
from raysearch.ensemble.methods import METHODS
from raysearch.ensemble.recipe import Recipe
from raysearch.ensemble.results import UniformMean, ensemble_probs, read_ensemble, recommend, write_ensemble
from raysearch.ensemble.selection import Score, score
from raysearch.errors import PredictionsError, UserError

QUICK = Recipe(rounds=10, repeats=1, bootstrap=50)


@pytest.fixture
def ensemble(study, write_view):
    for number, strength in enumerate([0.5, 1.0, 1.0]):
        write_view(number, strength=strength)
        write_view(number, "teacher-final", strength=strength)
    return build_ensemble(study, QUICK)


def test_an_ensemble_is_read_back_as_it_was_written(study, ensemble):
    path = study.ensemble("greedy")
    write_ensemble(path, ensemble)
    assert read_ensemble(path) == ensemble


def test_building_twice_gives_the_same_ensemble(study, ensemble):
    assert build_ensemble(study, QUICK) == ensemble


def test_the_file_has_the_documented_keys(study, ensemble):
    write_ensemble(study.ensemble("greedy"), ensemble)
    content = json.loads(study.ensemble("greedy").read_text())
    assert list(content) == [
        *("name", "recipe", "split", "fingerprint", "classes", "n", "candidates", "members", "trajectory"),
        *("best_round", "in_sample", "cross_fitted", "best_single", "uniform", "gain", "disagreement"),
        *("calibration", "recommended", "notes"),
    ]
    assert content["split"] == "held_out"
    assert (content["n"], content["candidates"]) == (60, 6)
    assert set(content["members"][0]) == {
        *("trial", "view", "weight", "weights_sha256", "alone", "backbone", "contribution"),
    }
    assert set(content["members"][0]["contribution"]) == {"accuracy", "log_loss", "chosen", "balanced_accuracy"}
    assert set(content["trajectory"][0]) == {"round", "added", "accuracy", "log_loss", "balanced_accuracy"}
    assert len(content["trajectory"]) == 10
    assert set(content["cross_fitted"]) == {
        *("accuracy", "log_loss", "folds", "repeats", "low", "high", "confidence", "balanced_accuracy"),
    }
    assert set(content["best_single"]) == {"name", "in_sample", "cross_fitted"}
    assert set(content["uniform"]) == {"members", "in_sample", "cross_fitted", "gain", "over_ensemble"}
    for gain in (content["gain"], content["uniform"]["gain"], content["uniform"]["over_ensemble"]):
        assert set(gain) == {"accuracy", "low", "high", "confidence", "balanced_accuracy"}
    assert set(content["disagreement"]) == {"mean", "matrix"}
    assert len(content["disagreement"]["matrix"]) == len(content["members"])
    assert set(content["calibration"]) == {
        *("temperature", "bins", "ece", "ece_scaled", "log_loss", "log_loss_scaled"),
    }


def test_each_members_own_score_is_stored(study, ensemble):
    library = load_library(study)
    by_name = dict(zip(library.names, library.probs, strict=True))
    for member in ensemble.members:
        expected = score(by_name[member.name], library.labels)
        assert member.alone.accuracy == expected.accuracy
        assert member.alone.log_loss == pytest.approx(expected.log_loss)


def test_the_gains_of_the_plain_mean_are_differences_of_the_cross_fitted_accuracies(ensemble):
    mean = ensemble.uniform
    single, own = ensemble.best_single.cross_fitted.accuracy, ensemble.cross_fitted.accuracy
    assert mean.gain.accuracy == pytest.approx(mean.cross_fitted.accuracy - single)
    assert mean.over_ensemble.accuracy == pytest.approx(mean.cross_fitted.accuracy - own)
    for gain in (mean.gain, mean.over_ensemble):
        assert gain.low <= gain.accuracy <= gain.high


def test_members_are_sorted_by_weight_and_weights_sum_to_one(ensemble):
    weights = [member.weight for member in ensemble.members]
    assert min(weights) > 0
    assert sum(weights) == pytest.approx(1)
    assert weights == sorted(weights, reverse=True)
    assert ensemble.members[0].weights_sha256 == f"{ensemble.members[0].trial:064d}"


def test_the_ensembles_probabilities_are_the_weighted_mean_and_score_as_the_file_says(study, ensemble):
    library = load_library(study)
    probs = ensemble_probs(ensemble, library)
    assert probs.dtype == np.float64
    np.testing.assert_allclose(probs.sum(axis=1), 1, atol=1e-6)
    by_name = dict(zip(library.names, library.probs, strict=True))
    np.testing.assert_allclose(probs, sum(m.weight * by_name[m.name] for m in ensemble.members), rtol=1e-6)
    assert ensemble.in_sample.accuracy == (probs.argmax(axis=1) == library.labels).mean()
    assert ensemble.in_sample.accuracy == ensemble.trajectory[ensemble.best_round - 1].accuracy


def test_the_best_single_is_the_candidate_of_greatest_held_out_accuracy(study, ensemble):
    library = load_library(study)
    accuracies = [(probs.argmax(axis=1) == library.labels).mean() for probs in library.probs]
    assert ensemble.best_single.in_sample.accuracy == max(accuracies)
    assert accuracies[library.names.index(ensemble.best_single.name)] == max(accuracies)


def test_a_single_candidate_is_the_whole_ensemble(study, write_view):
    write_view(0)
    ensemble = build_ensemble(study, Recipe(rounds=4, bootstrap=10))
    assert [(member.name, member.weight) for member in ensemble.members] == [("0000-student-final", 1.0)]
    library = load_library(study)
    np.testing.assert_array_equal(ensemble_probs(ensemble, library), library.probs[0].astype(np.float64))


def test_the_uniform_recipe_weighs_the_best_alike(study, ensemble):
    uniform = build_ensemble(study, Recipe(name="uniform", method="uniform", best_n=4, repeats=1, bootstrap=10))
    assert [member.weight for member in uniform.members] == [0.25] * 4
    assert uniform.best_single.name == ensemble.best_single.name
    assert uniform.uniform.gain == uniform.gain
    over = uniform.uniform.over_ensemble
    assert (over.accuracy, over.low, over.high) == (0, 0, 0)


def test_members_that_are_gone_or_trained_again_are_all_refused(study, ensemble, write_view):
    first, second = replace(ensemble.members[0], weight=0.5), replace(ensemble.members[0], trial=9, weight=0.5)
    write_view(first.trial, first.view, weights_sha256="f" * 64)
    with pytest.raises(PredictionsError) as caught:
        ensemble_probs(replace(ensemble, members=(first, second)), load_library(study))
    assert len(caught.value.faults) == 2
    assert f"{first.name}: its predictions were made by other weights" in caught.value.faults[0]
    assert f"{second.name}: its predictions are no longer stored" in caught.value.faults[1]


def test_an_ensemble_of_other_data_is_refused(study, ensemble):
    with pytest.raises(PredictionsError, match="made on other data"):
        ensemble_probs(replace(ensemble, fingerprint="0" * 64), load_library(study))


def test_trials_that_are_all_identical_make_an_ensemble_that_gains_nothing(study, write_view):
    probs = np.random.default_rng(0).dirichlet(np.ones(3), size=60).astype(np.float32)
    for number in range(4):
        write_view(number, probs=probs)
    ensemble = build_ensemble(study, QUICK)
    assert ensemble.best_single.name == "0000-student-final"
    assert (ensemble.gain.accuracy, ensemble.gain.low, ensemble.gain.high) == (0, 0, 0)
    assert ensemble.recommended == "single"
    assert ensemble.in_sample.accuracy == ensemble.best_single.in_sample.accuracy


def test_a_class_that_is_never_predicted_is_noted(study, write_view):
    probs = np.tile(np.float32([0.5, 0.4, 0.1]), (60, 1))
    probs[::2] = [0.2, 0.7, 0.1]
    write_view(0, probs=probs)
    ensemble = build_ensemble(study, QUICK)
    assert ensemble.notes == ("the ensemble never predicts 'emu'; it is wrong on every sample of this class",)
    assert np.isfinite(ensemble.calibration.temperature)


def test_a_class_with_few_samples_is_noted_with_the_folds_that_it_allows(study, write_view):
    labels = np.arange(60, dtype=np.int32) % 2
    labels[:3] = 2
    write_view(0, labels=labels)
    ensemble = build_ensemble(study, QUICK)
    assert ensemble.cross_fitted.folds == 3
    assert "cross-fitted with 3 folds, not 5: a class has only 3 held-out samples" in ensemble.notes


def test_one_hot_probabilities_have_finite_figures(study, write_view):
    for number in range(3):
        said = np.random.default_rng(number).integers(3, size=60)
        write_view(number, probs=np.eye(3, dtype=np.float32)[np.where(said == 2, np.arange(60) % 3, said)])
    ensemble = build_ensemble(study, QUICK)
    write_ensemble(study.ensemble("greedy"), ensemble)  # refuses what is no finite number
    assert read_ensemble(study.ensemble("greedy")) == ensemble


@pytest.mark.parametrize("method", [name for name, method in METHODS.items() if not method.uses_families])
def test_every_method_is_read_back_as_it_was_written_and_repeats_itself(study, ensemble, method):
    recipe = Recipe(name=method, method=method, rounds=5, bags=3, refine="none", repeats=2, bootstrap=20)
    built = build_ensemble(study, recipe)
    write_ensemble(study.ensemble(method), built)
    assert read_ensemble(study.ensemble(method)) == built == build_ensemble(study, recipe)


def test_refined_weights_have_a_smaller_log_loss_in_sample(study, ensemble):
    refined = build_ensemble(study, QUICK.model_copy(update={"refine": "log_loss"}))
    assert refined.in_sample.log_loss < ensemble.in_sample.log_loss
    assert sum(member.weight for member in refined.members) == pytest.approx(1)


@pytest.mark.parametrize(
    ("low", "low_of_mean", "low_over_ensemble", "expected"),
    [
        (0.01, 0.0, -0.1, "ensemble"),
        (0.01, 0.01, 0.0, "ensemble"),
        (0.01, 0.01, 0.01, "uniform"),
        (0.0, 0.01, -0.1, "uniform"),
        (0.0, 0.0, 0.01, "single"),
        (-0.1, -0.1, -0.1, "single"),
    ],
)
def test_what_is_recommended(low, low_of_mean, low_over_ensemble, expected):
    gain, of_mean, over_ensemble = (Gain(0.1, end, 0.2, 0.95) for end in (low, low_of_mean, low_over_ensemble))
    mean = UniformMean(3, Score(0.9, 0.1), Score(0.9, 0.1), of_mean, over_ensemble)
    assert recommend(gain, mean) == expected


@pytest.mark.parametrize(
    "remove",
    [
        lambda content: [content.pop(key) for key in ("calibration", "uniform", "disagreement", "recommended")],
        lambda content: content["uniform"].pop("gain"),
        lambda content: content["uniform"].pop("over_ensemble"),
        lambda content: [member.pop("alone") for member in content["members"]],
    ],
    ids=["figures", "gain of the plain mean", "gain over the ensemble", "own scores"],
)
def test_an_ensemble_of_an_earlier_version_is_refused_with_what_to_do(study, ensemble, remove):
    path = study.ensemble("greedy")
    write_ensemble(path, ensemble)
    content = json.loads(path.read_text())
    remove(content)
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"greedy\.json: written by an earlier version.*run `raysearch ensemble` again"):
        read_ensemble(path)


def test_a_missing_ensemble_says_how_to_make_one(study):
    with pytest.raises(UserError, match=r"best\.json: no such ensemble; create it with `raysearch ensemble`"):
        read_ensemble(study.ensemble("best"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content.pop("gain"), "gain: Field required"),
        (lambda content: content["members"][0].update(weight=3.0), r"members\.0\.weight"),
        (lambda content: content["members"].pop(), "weights must sum to 1"),
        (lambda content: content["recipe"].update(rounds=0), r"recipe\.rounds"),
    ],
)
def test_a_malformed_ensemble_is_named_with_its_fault(study, ensemble, change, message):
    path = study.ensemble("greedy")
    write_ensemble(path, ensemble)
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=rf"greedy\.json: .*{message}"):
        read_ensemble(path)


@pytest.mark.parametrize("text", ["{", "[]", "null"])
def test_a_file_that_is_no_ensemble_is_named(tmp_path, text):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(UserError, match=r"x\.json"):
        read_ensemble(tmp_path / "x.json")
