"""Who is stopped early, and what schedulers remember after a restart."""

from types import SimpleNamespace
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState
from ray.tune.schedulers import TrialScheduler

from raysearch.space import SearchConfig
from raysearch.tune.on_ray.scheduler import Brackets, build_scheduler, replay
from raysearch.tune.values import METRIC, PROGRESS


def ended_study(direction: str, curves: list[dict[int, float]]) -> optuna.Study:
    study = optuna.create_study(direction=direction)
    for curve in curves:
        values = {"state": optuna.trial.TrialState.PRUNED, "intermediate_values": curve}
        study.add_trial(optuna.trial.create_trial(**values))
    return study


class FakeTrial:
    """What schedulers read of Tune's trials."""

    def __init__(self, number: int) -> None:
        self.trial_id, self.config, self.status = f"tune-{number}", {"number": number}, "RUNNING"


CONTROLLER: Any = SimpleNamespace(get_live_trials=lambda: [])


def decisions(scheduler: Any, mode: str, curves: list[list[float]], first: int = 0) -> list[int]:
    """Looks that each trial has until it is stopped or through, all trials in step; a look every tenth."""
    assert scheduler.set_search_properties(METRIC, mode)
    trials = [FakeTrial(first + number) for number in range(len(curves))]
    for trial in trials:
        scheduler.on_trial_add(CONTROLLER, trial)
    lengths = [0] * len(curves)
    running = set(range(len(curves)))
    for step in range(10):
        for number in sorted(running):
            result = {PROGRESS: 10 * (step + 1), METRIC: curves[number][step]}
            lengths[number] = step + 1
            if scheduler.on_trial_result(CONTROLLER, trials[number], result) == TrialScheduler.STOP:
                running.discard(number)
    return lengths


@pytest.mark.parametrize("name", ["asha", "hyperband", "median"])
@pytest.mark.parametrize("objective", ["accuracy", "log_loss"])
def test_the_weak_are_stopped_early_and_the_best_goes_to_its_end(name: str, objective: str) -> None:
    search = SearchConfig(scheduler=name, objective=objective, grace=0.2)
    sign = 1 if search.maximizes else -1
    # The strongest first: asynchronous halving can only stop what comes after it.
    curves = [[sign * strength * (step + 1) for step in range(10)] for strength in range(12, 0, -1)]
    lengths = decisions(build_scheduler(search), "max" if search.maximizes else "min", curves)
    assert lengths[0] == 10
    assert sum(length < 10 for length in lengths) >= 6
    assert min(lengths) >= 2, "nobody within the grace"


def test_hyperband_gives_some_trials_a_longer_grace() -> None:
    search = SearchConfig(scheduler="hyperband", grace=0.2)
    curves = [[strength * (step + 1) for step in range(10)] for strength in range(24, 0, -1)]
    asha = decisions(build_scheduler(SearchConfig(scheduler="asha", grace=0.2)), "max", curves)
    hyperband = decisions(build_scheduler(search), "max", [list(map(float, curve)) for curve in curves])
    assert min(asha) == min(hyperband) == 2
    assert sum(hyperband) > sum(asha)


def test_hyperband_leaves_out_no_more_rungs_than_there_are() -> None:
    scheduler = build_scheduler(SearchConfig(scheduler="hyperband", grace=0.6))
    assert isinstance(scheduler, Brackets)
    assert all(bracket._rungs for bracket in scheduler._brackets)


def test_a_trial_s_bracket_is_the_same_at_every_start() -> None:
    search = SearchConfig(scheduler="hyperband", grace=0.1)
    one, two = build_scheduler(search), build_scheduler(search)
    assert isinstance(one, Brackets)
    assert isinstance(two, Brackets)
    places = [[s._brackets.index(s.choose_bracket(number)) for number in range(40)] for s in (one, two)]
    assert places[0] == places[1]
    assert set(places[0]) == {0, 1, 2}


def test_a_new_asha_remembers_how_far_earlier_trials_got() -> None:
    scheduler = build_scheduler(SearchConfig(grace=0.25, reduction_factor=2))
    study = ended_study("maximize", [{2: 0.5, 4: 0.8}, {2: 0.3}])
    replay(scheduler, study, {0: 8, 1: 8})
    rungs = dict(scheduler._brackets[0]._rungs)
    assert rungs[25] == {0: 0.5, 1: 0.3}
    assert rungs[50] == {0: 0.8}
    newcomer = SimpleNamespace(trial_id=99)
    assert scheduler._brackets[0].on_result(newcomer, 25, 0.35) == "STOP"


@pytest.mark.parametrize("name", ["asha", "hyperband", "median"])
@pytest.mark.parametrize(("direction", "objective"), [("maximize", "accuracy"), ("minimize", "log_loss")])
def test_trials_that_ended_before_a_restart_stop_a_weak_new_trial(name: str, direction: str, objective: str) -> None:
    """The same newcomer that a scheduler without a memory lets pass."""
    sign = 1 if direction == "maximize" else -1
    search = SearchConfig(scheduler=name, objective=objective, grace=0.2)
    mode = "max" if search.maximizes else "min"
    newcomer = [[sign * 0.1] * 10]
    assert decisions(build_scheduler(search), mode, newcomer) == [10]
    scheduler = build_scheduler(search)
    strong = dict.fromkeys(range(1, 11), sign * 0.5)
    replay(scheduler, ended_study(direction, [strong] * 24), dict.fromkeys(range(24), 10))
    assert decisions(scheduler, mode, newcomer, first=24) < [10]


@pytest.mark.parametrize("name", ["asha", "hyperband"])
def test_a_resumed_trial_is_counted_once_per_rung(name: str) -> None:
    """Its late and good values would raise the bar of the early rungs."""
    scheduler = build_scheduler(SearchConfig(scheduler=name, grace=0.25))
    assert isinstance(scheduler, Brackets)
    study = optuna.create_study(direction="maximize")
    study.add_trial(optuna.trial.create_trial(state=TrialState.RUNNING, intermediate_values={2: 0.1, 6: 0.7}))
    replay(scheduler, study, {0: 8})
    assert scheduler.set_search_properties(METRIC, "max")
    scheduler.on_trial_add(CONTROLLER, trial := FakeTrial(0))
    scheduler.on_trial_result(CONTROLLER, trial, {PROGRESS: 90, METRIC: 0.9})
    rungs = dict(scheduler.choose_bracket(0)._rungs)
    assert {milestone: recorded for milestone, recorded in rungs.items() if milestone < 90} == {
        milestone: {0: 0.1 if milestone == 25 else 0.7} for milestone in rungs if milestone < 90
    }


def test_a_lower_log_loss_is_better() -> None:
    scheduler = build_scheduler(SearchConfig(objective="log_loss"))
    replay(scheduler, ended_study("minimize", [{2: 0.5}, {2: 0.3}]), {0: 8, 1: 8})
    (_, recorded) = scheduler._brackets[0]._rungs[-1]
    assert recorded == {0: -0.5, 1: -0.3}


def test_without_a_scheduler_nothing_is_replayed() -> None:
    scheduler = build_scheduler(SearchConfig(scheduler="none"))
    replay(scheduler, ended_study("maximize", [{2: 0.5}]), {0: 8})
    assert not hasattr(scheduler, "_brackets")
