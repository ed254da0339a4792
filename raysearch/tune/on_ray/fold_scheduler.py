"""Folds of a trial are stopped together: by their mean at the epochs that all of them have done."""

from typing import Any

from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from raysearch.paths import StudyPaths
from raysearch.space.schema import SearchObjective
from raysearch.train.out_of_fold import average_lines
from raysearch.tune.store.trial_finalizer import failed_fold
from raysearch.tune.values import report_of


class FoldScheduler(FIFOScheduler):
    """Asks ``inner``, which knows of trials only, once an epoch, when the last of a trial's folds has done it.

    What it decides holds for all of them: the fold that reported last hears of it at once, the others at their next
    look, as they do when one of them failed. Folds that have ended by then keep what they did.
    """

    def __init__(self, inner: TrialScheduler, paths: StudyPaths, folds: int, objective: SearchObjective) -> None:
        super().__init__()
        self.inner, self.paths, self.folds, self.objective = inner, paths, folds, objective
        self._asked: set[tuple[int, int]] = set()
        self._stopped: set[int] = set()

    def set_search_properties(self, metric: str | None, mode: str | None, **spec: Any) -> bool:
        return super().set_search_properties(metric, mode, **spec) and self.inner.set_search_properties(metric, mode)

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        self.inner.on_trial_add(tune_controller, trial)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        number, epoch = trial.config["number"], result["epoch"]
        folds = [self.paths.trial(number).fold(fold) for fold in range(self.folds)]
        if number in self._stopped or failed_fold(folds) is not None:
            return TrialScheduler.STOP
        mean = next((line for line in average_lines(folds) if line["epoch"] == epoch and "held_out" in line), None)
        if mean is None or (number, epoch) in self._asked:
            return TrialScheduler.CONTINUE
        self._asked.add((number, epoch))
        mean_result = {**result, **report_of(mean, self.objective, result["epochs"])}
        decision = str(self.inner.on_trial_result(tune_controller, trial, mean_result))
        if decision == TrialScheduler.STOP:
            self._stopped.add(number)
        return decision

    # The inner one forgets a trial that ends, and a trial has not ended with one of its folds: it hears of no end.
