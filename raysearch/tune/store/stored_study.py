"""How the searcher writes the Optuna study: a trial's curve, its attributes, its end."""

from collections.abc import Sequence
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from raysearch.tune.store.optuna_private import get_storage, get_trial_id

WITHDRAWN = "withdrawn"
"""User attribute of a trial that was enqueued and then removed. Optuna has no state for it: the trial is FAIL, and does
not count as a failure."""
DEATHS = "deaths"
"""User attribute: for each death of the trial's process, the number of finished epochs."""


class StoredStudy:
    """Every write is in the database when the call returns."""

    def __init__(self, study: optuna.Study) -> None:
        self.study = study

    def trials(self, *states: TrialState) -> list[FrozenTrial]:
        """The trials in one of ``states``; without states, all. They are not copies, so they must not be changed."""
        return self.study.get_trials(deepcopy=False, states=states or None)

    def trial(self, number: int) -> FrozenTrial:
        return get_storage(self.study).get_trial(get_trial_id(self.study, number))

    @property
    def num_counted(self) -> int:
        """Trials that ended COMPLETE or PRUNED."""
        return len(self.trials(TrialState.COMPLETE, TrialState.PRUNED))

    @property
    def num_failed(self) -> int:
        """Trials that ended FAIL, without withdrawn ones."""
        return sum(WITHDRAWN not in trial.user_attrs for trial in self.trials(TrialState.FAIL))

    def live_trial(self, number: int) -> optuna.Trial:
        """A RUNNING trial, to draw parameters from. Parameters that were drawn before get the same values again."""
        return optuna.Trial(self.study, get_trial_id(self.study, number))

    def enqueue(self, params: dict[str, Any], **attrs: Any) -> None:
        """Add a WAITING trial with these fixed ``params``. Optuna hands out waiting trials before it draws new ones."""
        self.study.enqueue_trial(params, user_attrs=attrs)

    def withdraw(self, number: int, reason: str) -> None:
        """End a trial that was enqueued and has not started."""
        self.set(number, WITHDRAWN, True)
        self.set(number, "reason", reason)
        get_storage(self.study).set_trial_state_values(get_trial_id(self.study, number), TrialState.FAIL)

    def set(self, number: int, key: str, value: Any) -> None:
        get_storage(self.study).set_trial_user_attr(get_trial_id(self.study, number), key, value)

    def add_point(self, number: int, epoch: int, value: float) -> None:
        """Set a point of a trial's curve."""
        # Not by Trial.report, which drops a second value for an epoch. A resumed trial may send one.
        get_storage(self.study).set_trial_intermediate_value(get_trial_id(self.study, number), epoch, value)

    def add_points(self, number: int, points: Sequence[tuple[int, float]]) -> None:
        """Set those of ``points`` that are missing or differ. ``points`` are pairs of epoch and value."""
        known = self.trial(number).intermediate_values
        for epoch, value in points:
            if known.get(epoch) != value:
                self.add_point(number, epoch, value)

    def end(self, number: int, state: str, value: float | None) -> None:
        """End a trial. Optuna takes ``value`` for COMPLETE only; PRUNED gets the last point of its curve."""
        if state == "COMPLETE":
            self.study.tell(number, value)
        else:
            self.study.tell(number, state=TrialState[state])
