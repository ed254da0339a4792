"""Drawing a trial: which parameters are suggested, under which names, and the resulting config."""

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raysearch.config import TrainingConfig, TrialConfig
from raysearch.io import read_yaml, write_yaml
from raysearch.space import Range, SearchSpace, load_space, load_training, space_from

SPACES = Path(__file__).resolve().parents[2] / "spaces"


class FakeTrial:
    """Suggests ``answers``, or random values, and records the suggestions."""

    def __init__(self, seed: int = 0, answers: Mapping[str, Any] | None = None) -> None:
        self.random = random.Random(seed)
        self.answers = dict(answers or {})
        self.asked: dict[str, Any] = {}

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        return self._answer(name, ("log" if log else "float", low, high), self.random.uniform(low, high))

    def suggest_int(self, name: str, low: int, high: int) -> int:
        return self._answer(name, ("int", low, high), self.random.randint(low, high))

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        return self._answer(name, tuple(choices), self.random.choice(choices))

    def _answer(self, name: str, asked: Any, default: Any) -> Any:
        assert name not in self.asked, f"{name} asked twice"
        self.asked[name] = asked
        return self.answers.get(name, default)


def space_of(trial: dict[str, Any]) -> SearchSpace:
    return space_from({"study": "s", "trial": trial}, "s.yaml").trial


CONDITIONAL = {
    "epochs": {"int": [2, 9]},
    "backbone": {
        "choice": {
            "wide": {"optimizer": {"lr": {"loguniform": [0.01, 0.2]}, "momentum": 0.5}},
            "deep": {"optimizer": {"lr": {"uniform": [0.1, 0.3]}}},
            "plain": {},
        }
    },
    "optimizer": {"lr": {"loguniform": [0.001, 0.1]}},
}


def test_each_kind_of_distribution_is_suggested_under_its_dotted_path():
    space = space_of(
        {
            "epochs": {"int": [2, 9]},
            "method": {"alpha": {"loguniform": [1e-3, 1]}, "gamma": {"uniform": [0, 2]}},
            "augment": {"mixing": {"choice": ["none", "both"]}},
        }
    )
    trial = FakeTrial(answers={"epochs": 7, "method.alpha": 0.5, "method.gamma": 1.5, "augment.mixing": "none"})
    config = space.suggest(trial)
    assert trial.asked == {
        "epochs": ("int", 2, 9),
        "method.alpha": ("log", 0.001, 1.0),
        "method.gamma": ("float", 0.0, 2.0),
        "augment.mixing": ("none", "both"),
    }
    assert (config.epochs, config.method.alpha, config.method.gamma, config.augment.mixing) == (7, 0.5, 1.5, "none")
    assert config.method.beta == TrialConfig().method.beta


def test_overrides_apply_only_if_their_option_is_drawn_and_have_separate_names():
    space = space_of(CONDITIONAL)
    drawn = {}
    for option in ("wide", "deep", "plain"):
        trial = FakeTrial(answers={"backbone": option})
        drawn[option] = (space.suggest(trial), trial.asked)
    assert set(drawn["wide"][1]) == {"backbone", "epochs", "optimizer.lr[wide]"}
    assert drawn["wide"][1]["optimizer.lr[wide]"] == ("log", 0.01, 0.2)
    assert drawn["wide"][0].optimizer.momentum == 0.5
    assert drawn["deep"][1]["optimizer.lr[deep]"] == ("float", 0.1, 0.3)
    assert drawn["deep"][0].optimizer.momentum == TrialConfig().optimizer.momentum
    assert set(drawn["plain"][1]) == {"backbone", "epochs", "optimizer.lr"}


def test_an_option_within_an_option_has_both_in_its_name_and_wins():
    inner = {"sgd": {"optimizer": {"lr": {"uniform": [0.1, 0.2]}}}, "adamw": {}}
    space = space_of(
        {
            "backbone": {"choice": {"wide": {"optimizer": {"name": {"choice": inner}, "lr": 0.01}}, "deep": {}}},
            "optimizer": {"lr": {"uniform": [0.3, 0.4]}},
        }
    )
    trial = FakeTrial(answers={"backbone": "wide", "optimizer.name[wide]": "sgd", "optimizer.lr[wide][sgd]": 0.15})
    config = space.suggest(trial)
    assert set(trial.asked) == {"backbone", "optimizer.name[wide]", "optimizer.lr[wide][sgd]"}
    assert (config.optimizer.name, config.optimizer.lr) == ("sgd", 0.15)
    config = space.suggest(FakeTrial(answers={"backbone": "wide", "optimizer.name[wide]": "adamw"}))
    assert (config.optimizer.name, config.optimizer.lr) == ("adamw", 0.01)
    assert [name for name, _ in space.parameters()] == [
        "backbone",
        "optimizer.lr",
        "optimizer.name[wide]",
        "optimizer.lr[wide][sgd]",
    ]


def test_a_fixed_value_is_suggested_only_if_its_distribution_contains_it():
    space = space_of(
        {"method": {"alpha": {"loguniform": [0.01, 1]}, "beta": {"loguniform": [0.1, 5]}, "views": 2}, "seed": 3}
    )
    trial = FakeTrial(answers={"method.beta": 4.0})
    config = space.suggest(trial, {"method": {"alpha": 0, "beta": 0.5, "gamma": 2.0}})
    assert set(trial.asked) == {"method.beta"}
    assert (config.method.alpha, config.method.beta, config.method.gamma, config.seed) == (0, 0.5, 2.0, 3)


def test_a_fixed_backbone_has_its_overrides_only_if_it_is_one_of_the_choices():
    space = space_of(CONDITIONAL)
    among = FakeTrial()
    assert space.suggest(among, {"backbone": "wide"}).optimizer.momentum == 0.5
    assert set(among.asked) == {"backbone", "epochs", "optimizer.lr[wide]"}
    other = FakeTrial()
    assert space.suggest(other, {"backbone": "resnet18"}).backbone == "resnet18"
    assert set(other.asked) == {"epochs", "optimizer.lr"}


def test_null_may_be_fixed_chosen_or_constant():
    space = space_of({"drop_path_rate": {"choice": [None, 0.1]}})
    assert space.suggest(FakeTrial(), {"drop_path_rate": None}).drop_path_rate is None
    assert space.to_params({"drop_path_rate": None}) == {"drop_path_rate": None}
    assert space_of({"drop_path_rate": None}).suggest(FakeTrial()).drop_path_rate is None


@pytest.mark.parametrize(
    ("fixed", "params"),
    [
        ({"epochs": 3}, {"epochs": 3}),
        ({"epochs": 10}, {}),
        ({"optimizer": {"lr": 0.15}, "backbone": "wide"}, {"backbone": "wide", "optimizer.lr[wide]": 0.15}),
        ({"optimizer": {"lr": 0.25}, "backbone": "wide"}, {"backbone": "wide"}),
        ({"optimizer": {"lr": 0.05}, "backbone": "resnet18"}, {"optimizer.lr": 0.05}),
        ({"optimizer": {"lr": 0.05}}, {"optimizer.lr[wide]": 0.05, "optimizer.lr": 0.05}),
        ({"dropout": 0.1}, {}),
    ],
)
def test_params_to_enqueue_are_those_that_the_trial_suggests(fixed, params):
    assert space_of(CONDITIONAL).to_params(fixed) == params


def test_a_whole_number_for_a_float_range_is_enqueued_as_a_float():
    params = space_of({"method": {"gamma": {"uniform": [0, 2]}}}).to_params({"method": {"gamma": 1}})
    assert params == {"method.gamma": 1.0}
    assert isinstance(params["method.gamma"], float)


@pytest.mark.parametrize(
    ("kind", "inside", "outside"),
    [
        ("uniform", [1, 1.0, 2.5, 3], [0.99, 3.01, True, "2", None]),
        ("loguniform", [1, 3.0], [0, 4]),
        ("int", [1, 2, 3], [0, 4, 2.0, True]),
    ],
)
def test_a_range_contains_its_ends_and_only_numbers_of_its_kind(kind, inside, outside):
    span = Range(kind, 1, 3)
    assert [value for value in inside if not span.contains(value)] == []
    assert [value for value in outside if span.contains(value)] == []


def test_what_can_be_drawn_is_listed():
    space = space_of(CONDITIONAL)
    assert space.values("backbone") == ("wide", "deep", "plain")
    assert space.values("optimizer.momentum") == (0.9, 0.5)
    assert space.values("augment.policy") == ("autoaugment",)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), name=st.sampled_from(["cr", "photos32"]), entry=st.integers(0, 2))
def test_the_config_file_of_any_drawn_trial_gives_the_same_trial(tmp_path_factory, seed, name, entry):
    space = load_space(SPACES / f"{name}.yaml")
    fixed = [*space.search.first, {}][entry]
    trial = FakeTrial(seed)
    config = space.trial.suggest(trial, fixed)
    assert set(space.trial.to_params(fixed)) <= set(trial.asked) <= {name for name, _ in space.trial.parameters()}
    path = tmp_path_factory.mktemp("trial") / "config.yaml"
    training = TrainingConfig(data=space.data, objective=space.search.objective, trial=config)
    write_yaml(path, training.model_dump())
    assert TrialConfig.model_validate(read_yaml(path)["trial"]) == config
    assert load_training(path) == training
