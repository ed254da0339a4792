"""Reading a space: files that extend each other, `--set`, and the result."""

from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raysearch.errors import SpaceError
from raysearch.io import read_yaml, write_yaml
from raysearch.space import Choice, Range, load_space, load_training, space_from
from raysearch.space.schema import SpaceFile, flatten, unflatten

SPACES = Path(__file__).resolve().parents[2] / "spaces"
BASE = """
study: base
search:
  trials: 3
  first:
    - {backbone: wide, method: {alpha: 0.2}}
    - {method: {alpha: 0.0, beta: 0.0}}
trial:
  epochs: 4
  backbone:
    choice:
      wide: {optimizer: {lr: {loguniform: [1e-3, 1e-1]}, momentum: 0.5}}
      deep: {}
  method: {alpha: {loguniform: [0.1, 1]}, beta: 2}
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text), encoding="utf-8")
        return path

    return write


def leaf(space, path):
    return space.trial.leaves[tuple(path.split("."))].value


def test_numbers_with_an_exponent_are_floats_and_whole_numbers_pass_for_floats(write):
    space = load_space(write("a.yaml", "study: a\ntrial: {optimizer: {lr: 1e-3}, method: {gamma: 2}}"))
    config = space.trial.suggest(None)
    assert (config.optimizer.lr, config.method.gamma) == (0.001, 2.0)
    assert isinstance(config.method.gamma, float)


def test_a_file_extends_another_relative_to_itself(write):
    write("base.yaml", BASE)
    write("sub/middle.yaml", "extends: ../base.yaml\nstudy: middle\ntrial: {epochs: 5, method: {beta: 3}}")
    space = load_space(write("sub/deep/top.yaml", "extends: ../middle.yaml\ntrial: {epochs: 6}"))
    assert (space.study, space.search.trials) == ("middle", 3)
    assert (leaf(space, "epochs"), leaf(space, "method.beta")) == (6, 3)
    assert leaf(space, "method.alpha") == Range("loguniform", 0.1, 1.0)


def test_distributions_and_lists_of_a_child_replace_those_of_its_parent_whole(write):
    write("base.yaml", BASE)
    child = """
        extends: base.yaml
        search: {first: []}
        trial:
          epochs: {int: [1, 2]}
          backbone: {choice: [wide, other]}
          method: {alpha: {uniform: [0, 1]}, beta: 1}
    """
    space = load_space(write("child.yaml", child))
    assert leaf(space, "backbone") == Choice(("wide", "other"), ({}, {}))
    assert leaf(space, "method.alpha") == Range("uniform", 0.0, 1.0)
    assert leaf(space, "epochs") == Range("int", 1, 2)
    assert leaf(space, "method.beta") == 1
    assert space.search.first == []


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("trial.epochs=6", "epochs", 6),
        ("trial.backbone=resnet18", "backbone", "resnet18"),
        ("trial.optimizer.lr=1e-3", "optimizer.lr", 0.001),
        ("trial.method.alpha={uniform: [0, 1]}", "method.alpha", Range("uniform", 0.0, 1.0)),
        ("trial.method={beta: 5}", "method.beta", 5),
        ("trial.drop_path_rate=null", "drop_path_rate", None),
    ],
)
def test_set_replaces_a_whole_leaf(write, text, path, value):
    assert leaf(load_space(write("base.yaml", BASE), [text]), path) == value


def test_set_reaches_every_section_and_the_last_one_wins(write):
    overrides = ["study=x", "search.first=[]", "data.source=a b=c", "search.trials=5", "search.trials=7"]
    space = load_space(write("base.yaml", BASE), overrides)
    assert (space.study, space.data.source, space.search.trials) == ("x", "a b=c", 7)
    assert space.search.first == []
    assert space.resolved["search"]["trials"] == 7


def test_set_wins_over_first_trials_and_over_overrides_of_options(write):
    space = load_space(write("base.yaml", BASE), ["trial.method.alpha=0.7", "trial.optimizer.lr=0.3"])
    assert space.search.first == [{"backbone": "wide"}, {"method": {"beta": 0.0}}]
    assert [name for name, _ in space.trial.parameters()] == ["backbone"]
    [wide, deep] = leaf(space, "backbone").overrides
    assert ({path: found.value for path, found in wide.items()}, deep) == ({("optimizer", "momentum"): 0.5}, {})


def test_set_of_a_backbone_wins_over_the_backbone_of_first_trials(write):
    space = load_space(write("base.yaml", BASE), ["trial.backbone=resnet18"])
    assert space.values("backbone") == ("resnet18",)
    assert space.search.first[0] == {"method": {"alpha": 0.2}}


def test_backbones_count_those_of_first_trials(write):
    space = load_space(write("base.yaml", BASE), ["search.first=[{backbone: other}, {backbone: deep}]"])
    assert space.values("backbone") == ("wide", "deep", "other")


def test_the_resolved_space_makes_the_same_space_again(write):
    space = load_space(write("base.yaml", BASE), ["trial.method.beta=0.7"])
    write_yaml(path := Path("study.yaml"), {"space": space.resolved})
    again = space_from(read_yaml(path)["space"], "study.yaml")
    assert again == space
    assert list(space.resolved) == ["study", "data", "resources", "search", "trial"]
    assert space.resolved["trial"]["dropout"] == 0.3, "defaults are written out"


@given(st.recursive(st.integers(), lambda inner: st.dictionaries(st.text(min_size=1), inner, min_size=1), max_leaves=5))
def test_flattening_keeps_every_value(value):
    tree = {"study": "a", "trial": {"method": {"alpha": value, "x": 1}, "epochs": value}, "other": value}
    assert unflatten(flatten(SpaceFile, tree)) == tree


@pytest.mark.parametrize("name", ["cr", "photos32"])
def test_shipped_spaces_search_what_the_papers_do_over_three_backbones(name):
    space = load_space(SPACES / f"{name}.yaml")
    assert space.study == name
    assert len(space.values("backbone")) >= 3
    searched = {parameter.partition("[")[0] for parameter, _ in space.trial.parameters()}
    method = {"method.alpha", "method.beta", "method.gamma", "method.delta", "method.tau"}
    assert {*method, "augment.policy", "augment.mixing", "augment.erasing", "optimizer.lr", "backbone"} <= searched
    paper, baseline = space.search.first
    assert {key: paper["method"][key] for key in ("alpha", "gamma", "delta", "tau")} == {
        "alpha": 0.01,
        "gamma": 1.0,
        "delta": 0.005,
        "tau": 0.1,
    }
    off = space.trial.suggest(_Middle(), baseline).method
    assert (off.views, off.alpha, off.beta, off.gamma, off.aux_weight) == (1, 0, 0, 0, 0)
    assert baseline["augment"] == paper["augment"]


def test_the_default_space_has_a_learning_rate_range_for_each_backbone():
    space = load_space(SPACES / "cr.yaml")
    assert space.trial.values("backbone") == ("wrn_10_1", "wrn_16_1", "resnet10_small")
    rates = [name for name, _ in space.trial.parameters() if name.startswith("optimizer.lr[")]
    assert rates == [f"optimizer.lr[{backbone}]" for backbone in space.trial.values("backbone")]


def test_a_training_takes_a_trials_config_with_set(write):
    path = write("config.yaml", "data: {source: photos}\nobjective: log_loss\ntrial: {epochs: 3}")
    training = load_training(path, ["trial.epochs=9", "data.seed=4"])
    assert (training.data.source, training.data.seed) == ("photos", 4)
    assert (training.trial.epochs, training.objective) == (9, "log_loss")


def test_a_training_takes_a_space_file_once_nothing_is_left_to_draw(write):
    path = write("base.yaml", BASE + "resources: {}\n")
    training = load_training(path, ["trial.backbone=wide", "trial.method.alpha=0.5"])
    assert (training.trial.backbone, training.trial.method.alpha, training.trial.epochs) == ("wide", 0.5, 4)
    assert load_training(write("b.yaml", "study: b\nsearch: {objective: log_loss}")).objective == "log_loss"


def test_a_training_names_every_leaf_that_is_still_to_be_drawn(write):
    with pytest.raises(SpaceError) as raised:
        load_training(write("base.yaml", BASE), ["search.trials=3"])
    needs = "a training needs one value, got a distribution; give a value with --set"
    assert raised.value.faults == [
        "--set: search.trials: unknown key; known: data, objective, trial",
        f"base.yaml: trial.backbone: {needs} trial.backbone=...",
        f"base.yaml: trial.method.alpha: {needs} trial.method.alpha=...",
    ]


class _Middle:
    """A trial that always draws the first option and the lowest number."""

    def suggest_float(self, name, low, high, *, log=False):
        return low

    def suggest_int(self, name, low, high):
        return low

    def suggest_categorical(self, name, choices):
        return choices[0]
