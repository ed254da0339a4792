"""What the terminal says about an ensemble, for figures that are chosen here."""

from dataclasses import replace

import pytest

from raysearch.ensemble.build import build_ensemble
from raysearch.ensemble.calibration import MAX_TEMPERATURE, MIN_TEMPERATURE
from raysearch.ensemble.explain import explain_member, explain_temperature
from raysearch.ensemble.intervals import Gain
from raysearch.ensemble.members import Contribution
from raysearch.ensemble.recipe import Recipe
from raysearch.ensemble.results import recommend
from raysearch.ensemble.scores import Score
from raysearch.ensemble.terminal import sentences

ABOVE, AROUND, BELOW = (Gain(at, at - 0.02, at + 0.02, 0.95) for at in (0.03, 0.01, -0.03))


@pytest.fixture
def ensemble(study, write_view):
    for number in range(3):
        write_view(number)
    return build_ensemble(study, Recipe(rounds=10, repeats=1, bootstrap=50))


def say(ensemble, gain, of_mean, over_ensemble):
    mean = replace(ensemble.uniform, gain=of_mean, over_ensemble=over_ensemble)
    return "\n".join(sentences(replace(ensemble, gain=gain, uniform=mean, recommended=recommend(gain, mean))))


def test_a_mean_whose_gain_is_not_certain_is_not_recommended(ensemble):
    said = say(ensemble, AROUND, AROUND, AROUND)
    assert "Recommended: the single model" in said
    assert "plain mean" not in said


def test_a_mean_whose_gain_is_certain_is_recommended_with_its_interval(ensemble):
    said = say(ensemble, AROUND, ABOVE, AROUND)
    assert "Recommended: the plain mean of the best 3 (method: uniform). Its gain over the single model" in said
    assert "+3.0 points of accuracy, 95 % interval +1.0 to +5.0" in said


def test_a_mean_is_said_to_be_better_than_the_ensemble_only_if_its_interval_is_above_zero(ensemble):
    said = say(ensemble, ABOVE, ABOVE, ABOVE)
    assert "Recommended: the plain mean of the best 3 (method: uniform). Its gain over the ensemble" in said
    said = say(ensemble, ABOVE, ABOVE, AROUND)
    assert "Recommended" not in said
    assert "is simpler. Its difference from the ensemble is within the noise." in said
    assert "plain mean" not in say(ensemble, ABOVE, ABOVE, BELOW)


@pytest.mark.parametrize(
    ("temperature", "expected"),
    [
        (MAX_TEMPERATURE, "upper limit of its range, 20: the probabilities carry no information about the labels"),
        (MIN_TEMPERATURE, "lower limit of its range, 0.05: nearly all held-out samples are classified correctly"),
    ],
)
def test_a_temperature_at_a_limit_is_explained(ensemble, temperature, expected):
    calibration = replace(ensemble.calibration, temperature=temperature)
    assert expected in "\n".join(sentences(replace(ensemble, calibration=calibration)))
    assert explain_temperature(0.99 * MAX_TEMPERATURE) == explain_temperature(1.01 * MIN_TEMPERATURE) == ""


def test_a_member_that_is_weak_alone_and_heavy_in_the_vote_is_explained(ensemble):
    members = (
        replace(ensemble.members[0], weight=0.6, alone=Score(0.48, 1.0), contribution=Contribution(0.012, -0.1, 1.0)),
        replace(ensemble.members[0], trial=8, weight=0.4, alone=Score(0.5, 1.0)),
    )
    single = replace(ensemble.best_single, in_sample=Score(0.55, 1.0))
    said = "\n".join(sentences(replace(ensemble, members=members, best_single=single)))
    assert f"Member {members[0].name}: its accuracy alone is 48.0 %, the best single model's 55.0 %." in said
    assert "Its weight is 0.600" in said
    assert "Without this member, the cross-fitted accuracy of the vote is 1.2 points lower." in said
    assert "Member 0008" not in said, "its weight is below 1 / members"


@pytest.mark.parametrize(
    ("alone", "weight", "adds", "expected"),
    [
        (0.53, 0.6, 0.01, "1.0 points lower"),
        (0.53, 0.6, -0.01, "1.0 points higher"),
        (0.53, 0.6, 0.0, "does not change"),
        (0.531, 0.6, 0.01, None),
        (0.53, 0.5, 0.01, None),
        (0.53, 0.6, None, None),
    ],
)
def test_only_a_weak_and_heavy_member_is_explained(alone, weight, adds, expected):
    text = explain_member("x", alone, 0.55, weight, 2, adds)
    assert expected in text if expected else text == ""
