"""The Optuna study as the searcher writes it: a trial's curve, its attributes, its end."""

from collections.abc import Sequence
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from raysearch.tune.store.optuna_private import storage_of, stored_id

WITHDRAWN = "withdrawn"
"""Marks a trial that was asked for and is not wanted any more: it ended FAIL, but did not fail."""
DEATHS = "deaths"
"""The epochs that were done each time when the trial's process died."""


class StoredStudy:
    """Every write is in the database when the call returns."""

    def __init__(self, study: optuna.Study) -> None:
        self.study = study

    def trials(self, *states: TrialState) -> list[FrozenTrial]:
        """Those in one of ``states``, or all. Not copied: they must not be changed."""
        return self.study.get_trials(deepcopy=False, states=states or None)

    def trial(self, number: int) -> FrozenTrial:
        return storage_of(self.study).get_trial(stored_id(self.study, number))

    @property
    def counted(self) -> int:
        """Trials that ended COMPLETE or PRUNED."""
        return len(self.trials(TrialState.COMPLETE, TrialState.PRUNED))

    @property
    def failed(self) -> int:
        """Trials that ended FAIL."""
        return sum(WITHDRAWN not in trial.user_attrs for trial in self.trials(TrialState.FAIL))

    def live(self, number: int) -> optuna.Trial:
        """A RUNNING trial to draw from; what it has drawn already it draws again."""
        return optuna.Trial(self.study, stored_id(self.study, number))

    def enqueue(self, params: dict[str, Any], **attrs: Any) -> None:
        """Ask for ``params`` before anything is drawn."""
        self.study.enqueue_trial(params, user_attrs=attrs)

    def withdraw(self, number: int, reason: str) -> None:
        """End a trial that was enqueued and has not begun."""
        self.set(number, WITHDRAWN, True)
        self.set(number, "reason", reason)
        storage_of(self.study).set_trial_state_values(stored_id(self.study, number), TrialState.FAIL)

    def set(self, number: int, key: str, value: Any) -> None:
        storage_of(self.study).set_trial_user_attr(stored_id(self.study, number), key, value)

    def add_point(self, number: int, epoch: int, value: float) -> None:
        """A point of a trial's curve; of an epoch that has one, another."""
        # Not Trial.report: it drops a second value for an epoch, which a resumed trial may send.
        storage_of(self.study).set_trial_intermediate_value(stored_id(self.study, number), epoch, value)

    def add_points(self, number: int, points: Sequence[tuple[int, float]]) -> None:
        """Those of ``points`` that are missing or differ."""
        known = self.trial(number).intermediate_values
        for epoch, value in points:
            if known.get(epoch) != value:
                self.add_point(number, epoch, value)

    def end(self, number: int, state: str, value: float | None) -> None:
        """Optuna lets only COMPLETE be told with a value; it gives PRUNED the last point of the curve."""
        if state == "COMPLETE":
            self.study.tell(number, value)
        else:
            self.study.tell(number, state=TrialState[state])
