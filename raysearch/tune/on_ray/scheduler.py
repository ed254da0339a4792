"""Which trials are stopped early.

Ray's schedulers, told of the trials that earlier runs of the study have ended: each starts with an empty memory and
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
from raysearch.tune.on_ray.ray_private import assign_bracket, brackets_of, count_rungs, set_results
from raysearch.tune.values import METRIC, PROGRESS

BRACKETS = 3
"""Hyperband's: ASHA as it is, and with its first one and first two rungs left out."""

TOLD = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)


@dataclass(frozen=True)
class Known:
    """What a scheduler tells trials apart by: the study's number, which a trial keeps when its process dies."""

    trial_id: int


class Brackets(AsyncHyperBandScheduler):
    """ASHA, or with several brackets asynchronous Hyperband, in which a trial's number decides on its bracket."""

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        super().on_trial_add(tune_controller, _known(trial))
        number = trial.config["number"]
        assign_bracket(self, number, self.bracket_of(number))

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        return super().on_trial_result(tune_controller, _known(trial), result)

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        super().on_trial_complete(tune_controller, _known(trial), result)

    def on_trial_remove(self, tune_controller: Any, trial: Any) -> None:
        super().on_trial_remove(tune_controller, _known(trial))

    def bracket_of(self, number: int) -> Any:
        """Drawn with Ray's odds, which favour the brackets of many rungs, but the same at every start."""
        brackets = brackets_of(self)
        rungs = np.array([count_rungs(bracket) for bracket in brackets])
        odds = np.exp(rungs - rungs.max())
        return brackets[np.random.default_rng(number).choice(len(rungs), p=odds / odds.sum())]

    def remember(self, trial: FrozenTrial, epochs: int, sign: int) -> None:
        for epoch, value in sorted(trial.intermediate_values.items()):
            self.bracket_of(trial.number).on_result(Known(trial.number), 100 * epoch / epochs, sign * value)


class Median(MedianStoppingRule):
    """Stops a trial whose best is below the median of the others' running means."""

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        return super().on_trial_result(tune_controller, _known(trial), result)

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        super().on_trial_complete(tune_controller, _known(trial), result)

    def remember(self, trial: FrozenTrial, epochs: int, sign: int) -> None:
        points = sorted(trial.intermediate_values.items())
        if points:
            results = [{PROGRESS: 100 * epoch / epochs, METRIC: value} for epoch, value in points]
            set_results(self, Known(trial.number), results)


def _known(trial: Any) -> Known:
    return Known(trial.config["number"])


def build_scheduler(search: SearchConfig) -> TrialScheduler:
    """Rungs and graces are shares of each trial's own epochs."""
    if search.scheduler == "none" or search.grace >= 1:
        return FIFOScheduler()
    if search.scheduler == "median":
        # The time slice: a trial without enough others to compare with goes on, and is not paused.
        return Median(time_attr=PROGRESS, grace_period=100 * search.grace, min_time_slice=100)
    brackets = BRACKETS if search.scheduler == "hyperband" else 1
    return Brackets(
        time_attr=PROGRESS,
        max_t=100,
        grace_period=100 * search.grace,
        reduction_factor=search.reduction_factor,
        brackets=min(brackets, _rungs(search)),
    )


def _rungs(search: SearchConfig) -> int:
    """Rungs from the grace to the end: Hyperband cannot leave out more than there are."""
    return int(np.log(1 / search.grace) / np.log(search.reduction_factor)) + 1


def replay(scheduler: TrialScheduler, study: optuna.Study, epochs_of: Mapping[int, int]) -> None:
    """Tell a new scheduler of the study's trials so far, those that go on too.

    ``epochs_of``: each one's own; one without is left out.
    """
    if not isinstance(scheduler, Brackets | Median):
        return
    sign = 1 if study.direction == optuna.study.StudyDirection.MAXIMIZE else -1
    for trial in study.get_trials(deepcopy=False, states=TOLD):
        if epochs := epochs_of.get(trial.number):
            scheduler.remember(trial, epochs, sign)
