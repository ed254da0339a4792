"""Schedulers, which decide when a trial is stopped early.

They are Ray's schedulers with the results of the study's earlier runs. A new scheduler of Ray knows no results and
would let weak trials pass.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, MedianStoppingRule, TrialScheduler

from raysearch.space import SearchConfig
from raysearch.tune.on_ray.ray_private import assign_bracket, count_rungs, list_brackets, set_results
from raysearch.tune.values import METRIC, PROGRESS

BRACKETS = 3
"""Brackets of Hyperband: ASHA with all rungs, without its first rung, and without its first two."""

REPLAYED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)
"""States of the trials whose results a new scheduler receives. A FAIL trial says nothing about its settings."""


@dataclass(frozen=True)
class TrialKey:
    """The trial as a scheduler of Ray sees it, which uses `trial_id` only.

    `trial_id` is the study's trial number. Tune's own id changes when a trial restarts, and the scheduler would count
    the trial twice.
    """

    trial_id: int


class Brackets(AsyncHyperBandScheduler):
    """ASHA (one bracket) or asynchronous Hyperband (several). A trial's number determines its bracket."""

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        super().on_trial_add(tune_controller, _key(trial))
        number = trial.config["number"]
        assign_bracket(self, number, self.choose_bracket(number))

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        return super().on_trial_result(tune_controller, _key(trial), result)

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        super().on_trial_complete(tune_controller, _key(trial), result)

    def on_trial_remove(self, tune_controller: Any, trial: Any) -> None:
        super().on_trial_remove(tune_controller, _key(trial))

    def choose_bracket(self, number: int) -> Any:
        """The bracket of a trial: drawn with Ray's probabilities (softmax of the number of rungs), but from the trial's
        number, so that it is the same at every start."""
        brackets = list_brackets(self)
        rungs = np.array([count_rungs(bracket) for bracket in brackets])
        odds = np.exp(rungs - rungs.max())
        return brackets[np.random.default_rng(number).choice(len(rungs), p=odds / odds.sum())]

    def remember(self, trial: FrozenTrial, epochs: int, sign: int) -> None:
        for epoch, value in sorted(trial.intermediate_values.items()):
            self.choose_bracket(trial.number).on_result(TrialKey(trial.number), 100 * epoch / epochs, sign * value)


class Median(MedianStoppingRule):
    """Stops a trial whose best is below the median of the others' running means."""

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        return super().on_trial_result(tune_controller, _key(trial), result)

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        super().on_trial_complete(tune_controller, _key(trial), result)

    def remember(self, trial: FrozenTrial, epochs: int, sign: int) -> None:
        points = sorted(trial.intermediate_values.items())
        if points:
            results = [{PROGRESS: 100 * epoch / epochs, METRIC: value} for epoch, value in points]
            set_results(self, TrialKey(trial.number), results)


def _key(trial: Any) -> TrialKey:
    return TrialKey(trial.config["number"])


def build_scheduler(search: SearchConfig) -> TrialScheduler:
    """Make the scheduler. Its rungs and grace period are percentages of each trial's own epochs."""
    if search.scheduler == "none" or search.grace >= 1:
        return FIFOScheduler()
    if search.scheduler == "median":
        # min_time_slice: a trial with too few others to compare with continues and is not paused.
        return Median(time_attr=PROGRESS, grace_period=100 * search.grace, min_time_slice=100)
    brackets = BRACKETS if search.scheduler == "hyperband" else 1
    return Brackets(
        time_attr=PROGRESS,
        max_t=100,
        grace_period=100 * search.grace,
        reduction_factor=search.reduction_factor,
        brackets=min(brackets, _count_rungs(search)),  # each further bracket leaves out one more rung
    )


def _count_rungs(search: SearchConfig) -> int:
    """Rungs from the grace period to the last epoch."""
    return int(np.log(1 / search.grace) / np.log(search.reduction_factor)) + 1


def replay(scheduler: TrialScheduler, study: optuna.Study, total_epochs: Mapping[int, int]) -> None:
    """Give a new scheduler the results of the study's trials so far, including those that will resume.

    ``total_epochs``: the epochs of each trial, by number. Trials without an entry, or with 0, are left out.
    """
    if not isinstance(scheduler, Brackets | Median):
        return
    sign = 1 if study.direction == optuna.study.StudyDirection.MAXIMIZE else -1
    for trial in study.get_trials(deepcopy=False, states=REPLAYED):
        if epochs := total_epochs.get(trial.number):
            scheduler.remember(trial, epochs, sign)
