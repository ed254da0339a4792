"""Stops the folds of a trial together, using their mean over epochs that every fold has finished."""

from typing import Any

from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from raysearch.paths import StudyPaths
from raysearch.space.schema import SearchObjective
from raysearch.train.out_of_fold import average_lines
from raysearch.tune.store.trial_finalizer import find_failed_fold
from raysearch.tune.values import report_of


class FoldScheduler(FIFOScheduler):
    """Passes the mean of a trial's folds to the ``inner`` scheduler once per epoch, and stops all folds if it says so.

    The inner scheduler sees one result per trial and epoch, when the last fold has finished that epoch. If it decides
    to stop, the fold that reported last stops at once, and the other folds stop at their next report. A failed fold
    stops the others in the same way. Folds that have already ended are not affected.
    """

    def __init__(self, inner: TrialScheduler, paths: StudyPaths, folds: int, objective: SearchObjective) -> None:
        super().__init__()
        self.inner, self.paths, self.folds, self.objective = inner, paths, folds, objective
        self._decided: set[tuple[int, int]] = set()
        """Trial numbers and epochs that the inner scheduler has seen"""
        self._stopped: set[int] = set()
        """Numbers of the trials that it has stopped"""

    def set_search_properties(self, metric: str | None, mode: str | None, **spec: Any) -> bool:
        return super().set_search_properties(metric, mode, **spec) and self.inner.set_search_properties(metric, mode)

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        self.inner.on_trial_add(tune_controller, trial)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        number, epoch = trial.config["number"], result["epoch"]
        folds = [self.paths.trial(number).fold(fold) for fold in range(self.folds)]
        if number in self._stopped or find_failed_fold(folds) is not None:
            return TrialScheduler.STOP
        # Each training writes its line before it reports, so the files are at least as new as the report.
        mean = next((line for line in average_lines(folds) if line["epoch"] == epoch and "held_out" in line), None)
        if mean is None or (number, epoch) in self._decided:
            return TrialScheduler.CONTINUE
        self._decided.add((number, epoch))
        mean_result = {**result, **report_of(mean, self.objective, result["epochs"])}
        decision = str(self.inner.on_trial_result(tune_controller, trial, mean_result))
        if decision == TrialScheduler.STOP:
            self._stopped.add(number)
        return decision

    # on_trial_complete and on_trial_remove are not passed on: the inner scheduler would forget the trial when its first
    # fold ends.
