"""Which changes of a space a study accepts, and the messages for the others."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raysearch.space import Range, Space, find_growth_faults, load_space, space_from

SPACES = Path(__file__).resolve().parents[2] / "spaces"
LOG = {"loguniform": [0.01, 1.0]}
BACKBONES = {
    "wrn_10_1": {"optimizer": {"lr": {"uniform": [0.1, 0.2]}, "momentum": 0.5}},
    "wrn_16_1": {},
}


def space_of(trial: dict[str, Any] | None = None, **search: Any) -> Space:
    return space_from({"study": "s", "search": search, "trial": trial or {}}, "s.yaml")


def backbones(**options: Any) -> dict[str, Any]:
    return {"backbone": {"choice": {**BACKBONES, **options}}}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"dropout": {"uniform": [0.1, 0.2]}}, {"dropout": {"uniform": [0.1, 0.2]}}),
        ({"dropout": {"uniform": [0.1, 0.2]}}, {"dropout": {"uniform": [0, 0.2]}}),
        ({"epochs": {"int": [2, 9]}}, {"epochs": {"int": [1, 12]}}),
        ({"method": {"alpha": LOG}}, {"method": {"alpha": {"loguniform": [0.001, 1]}}}),
        ({"image_size": {"choice": [32, 16]}}, {"image_size": {"choice": [16, 24, 32]}}),
        ({"dropout": 0.2}, {"dropout": 0.20}),
        ({"dropout": 0}, {"dropout": 0.0}),
        ({"dropout": 0.2}, {"dropout": {"uniform": [0.2, 0.2]}}),
        ({"dropout": {"uniform": [0.2, 0.2]}}, {"dropout": {"uniform": [0.1, 0.3]}}),
        ({"drop_path_rate": None}, {"drop_path_rate": {"choice": [0.1, None]}}),
        ({}, {"dropout": {"uniform": [0, 0.5]}}),
        (backbones(), backbones(wrn_16_2={"optimizer": {"lr": {"int": [1, 2]}}})),
        (backbones(), backbones(wrn_10_1={"optimizer": {"lr": {"uniform": [0.05, 0.2]}, "momentum": 0.5}})),
        (
            backbones(),
            backbones(wrn_10_1={"optimizer": {"lr": {"uniform": [0.1, 0.2]}, "momentum": {"choice": [0.9, 0.5]}}}),
        ),
        (
            {"backbone": {"choice": ["wrn_10_1", "wrn_16_1"]}},
            {"backbone": {"choice": {"wrn_16_1": {}, "wrn_10_1": {}}}},
        ),
        ({"backbone": "wrn_16_1", "dropout": 0.1}, {**backbones(wrn_16_1={"dropout": 0.1}), "dropout": 0.1}),
        ({"backbone": "wrn_16_1"}, backbones(wrn_16_1={"dropout": {"uniform": [0, 0.3]}})),
        (backbones(wrn_16_1={"dropout": 0.1}), {**backbones(), "dropout": {"choice": [0.3, 0.1]}}),
    ],
)
def test_growth_is_not_a_fault(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert find_growth_faults(space_of(before), space_of(after)) == []


@pytest.mark.parametrize(
    ("before", "after", "fault"),
    [
        (
            {"method": {"alpha": LOG}},
            {"method": {"alpha": {"loguniform": [0.1, 1]}}},
            "trial.method.alpha was {loguniform: [0.01, 1.0]} and is {loguniform: [0.1, 1.0]}: between runs a range "
            "may only grow",
        ),
        (
            {"epochs": {"int": [2, 9]}},
            {"epochs": {"int": [1, 8]}},
            "trial.epochs was {int: [2, 9]} and is {int: [1, 8]}: between runs a range may only grow",
        ),
        (
            {"method": {"alpha": LOG}},
            {"method": {"alpha": {"uniform": [0, 2]}}},
            "trial.method.alpha was {loguniform: [0.01, 1.0]} and is {uniform: [0.0, 2.0]}: between runs a "
            "distribution must keep its kind",
        ),
        (
            {"dropout": {"uniform": [0, 0.5]}},
            {"dropout": 0.2},
            "trial.dropout was {uniform: [0.0, 0.5]} and is 0.2: between runs a distribution must keep its kind",
        ),
        (
            {"epochs": {"choice": [2, 4]}},
            {"epochs": {"int": [2, 4]}},
            "trial.epochs was {choice: [2, 4]} and is {int: [2, 4]}: between runs a distribution must keep its kind",
        ),
        (
            backbones(),
            {"backbone": {"choice": {"wrn_10_1": BACKBONES["wrn_10_1"], "wrn_16_2": {}}}},
            "trial.backbone was {choice: [wrn_10_1, wrn_16_1]} and is {choice: [wrn_10_1, wrn_16_2]}: between runs a "
            "choice may only gain options",
        ),
        (
            {"epochs": 2},
            {"epochs": 3},
            "trial.epochs was 2 and is 3: between runs a value may only become a distribution that contains it",
        ),
        (
            {"drop_path_rate": None},
            {"drop_path_rate": {"uniform": [0, 0.1]}},
            "trial.drop_path_rate was null and is {uniform: [0.0, 0.1]}: between runs a value may only become a "
            "distribution that contains it",
        ),
        (
            backbones(),
            backbones(wrn_10_1={"optimizer": {"lr": {"uniform": [0.15, 0.2]}, "momentum": 0.5}}),
            "trial.backbone.choice.wrn_10_1.optimizer.lr was {uniform: [0.1, 0.2]} and is {uniform: [0.15, 0.2]}: "
            "between runs a range may only grow",
        ),
        (
            backbones(),
            backbones(wrn_10_1={"optimizer": {"lr": {"uniform": [0.1, 0.2]}}}),
            "trial.backbone.choice.wrn_10_1.optimizer.momentum was 0.5 and is 0.9: between runs a value may only "
            "become a distribution that contains it",
        ),
        (
            {"backbone": "wrn_16_1"},
            backbones(wrn_16_1={"dropout": 0.1}),
            "trial.backbone.choice.wrn_16_1.dropout was 0.3 and is 0.1: between runs a value may only become a "
            "distribution that contains it",
        ),
        (
            {**backbones(), "dropout": {"uniform": [0, 0.2]}},
            {**backbones(wrn_16_1={"dropout": {"uniform": [0, 0.3]}}), "dropout": {"uniform": [0, 0.2]}},
            "trial.backbone.choice.wrn_16_1.dropout was {uniform: [0.0, 0.2]} outside the option and is "
            "{uniform: [0.0, 0.3]}: between runs a distribution must not move into or out of an option",
        ),
        (
            {**backbones(wrn_16_1={"dropout": {"uniform": [0, 0.2]}}), "dropout": {"uniform": [0, 0.2]}},
            {**backbones(), "dropout": {"uniform": [0, 0.2]}},
            "trial.backbone.choice.wrn_16_1.dropout was {uniform: [0.0, 0.2]} and is {uniform: [0.0, 0.2]} "
            "outside the option: between runs a distribution must not move into or out of an option",
        ),
    ],
)
def test_other_changes_are_faults_with_place_old_value_new_value_and_rule(
    before: dict[str, Any], after: dict[str, Any], fault: str
) -> None:
    assert find_growth_faults(space_of(before), space_of(after)) == [fault]


def test_all_faults_are_reported_together() -> None:
    before = space_of({"epochs": 2, "dropout": {"uniform": [0, 0.5]}}, objective="accuracy", first=[{"dropout": 0}])
    after = space_of({"epochs": 3, "dropout": {"uniform": [0.1, 0.5]}}, objective="log_loss")
    places = [fault.split()[0] for fault in find_growth_faults(before, after)]
    assert places == ["search.objective", "search.first", "trial.epochs", "trial.dropout"]


def test_first_trials_may_only_be_added_at_the_end() -> None:
    one, two = {"epochs": 3}, {"optimizer": {"lr": 0.05}}
    assert find_growth_faults(space_of(first=[one]), space_of(first=[one, two])) == []
    assert find_growth_faults(space_of(first=[one]), space_of(first=[two, one])) == [
        "search.first.0 was {epochs: 3} and is {optimizer: {lr: 0.05}}: between runs entries may only be added at the "
        "end"
    ]
    assert find_growth_faults(space_of(first=[one, two]), space_of(first=[one])) == [
        "search.first had 2 entries and has 1: between runs entries may only be added at the end"
    ]


def test_sampler_scheduler_and_limits_may_change() -> None:
    other = space_of(trials=99, timeout_s=1.0, sampler="random", scheduler="none", grace=0.5, max_failures=0, seed=7)
    assert find_growth_faults(space_of(), other) == []


def test_a_search_and_an_ablation_do_not_become_one_another() -> None:
    rows = {"t": {"title": "T", "rows": [{"name": "a"}]}}
    ablation = space_from({"study": "s", "ablation": {"tables": rows}}, "s.yaml")
    assert find_growth_faults(space_of(), ablation) == [
        "the study was a search and is an ablation: between runs this must not change"
    ]
    assert find_growth_faults(ablation, space_of()) == [
        "the study was an ablation and is a search: between runs this must not change"
    ]


def test_an_ablation_may_change_its_rows_but_not_its_trial() -> None:
    def ablation(rows: list[dict[str, Any]], trial: dict[str, Any], seeds: int) -> Space:
        tables = {"t": {"title": "T", "rows": rows}}
        return space_from({"study": "s", "ablation": {"tables": tables, "seeds": seeds}, "trial": trial}, "s.yaml")

    before = ablation([{"name": "a"}, {"name": "b", "set": {"dropout": 0.1}}], {"epochs": 2}, 2)
    assert find_growth_faults(before, ablation([{"name": "c", "set": {"dropout": 0.2}}], {"epochs": 2}, 3)) == []
    assert [fault[:29] for fault in find_growth_faults(before, ablation([{"name": "a"}], {"epochs": 3}, 2))] == [
        "trial.epochs was 2 and is 3: "
    ]


@pytest.mark.parametrize("name", ["cr", "photos32"])
def test_an_included_space_may_continue_itself(name: str) -> None:
    space = load_space(SPACES / f"{name}.yaml")
    assert find_growth_faults(space_from(space.resolved, "study.yaml"), space) == []


@given(st.lists(st.integers(0, 9), min_size=4, max_size=4))
def test_a_range_may_continue_only_ranges_that_it_contains(bounds: list[int]) -> None:
    low, high, new_low, new_high = (*sorted(bounds[:2]), *sorted(bounds[2:]))
    before = space_of({"method": {"rampup_epochs": {"int": [low, high]}}})
    after = space_of({"method": {"rampup_epochs": {"int": [new_low, new_high]}}})
    contains_all = all(map(Range("int", new_low, new_high).contains, range(low, high + 1)))
    assert (find_growth_faults(before, after) == []) == contains_all
