"""How trials end: what is written of them, what the study is told, and whose weights make room."""

from collections.abc import Sequence
from typing import Any

from raysearch.config import Objective, TrainingConfig
from raysearch.errors import UserError
from raysearch.io import read_yaml, write_json, write_text
from raysearch.paths import StudyPaths, TrialPaths
from raysearch.space import Space
from raysearch.train.out_of_fold import write_joint_result, write_means
from raysearch.train.result import State, read_metrics, read_result, write_result
from raysearch.tune.listener import Listener
from raysearch.tune.store.fold_training import FoldTraining, fold_trainings
from raysearch.tune.store.gain import gain_of
from raysearch.tune.store.stored_study import StoredStudy
from raysearch.tune.store.trial_folder import clear, has_evaluation
from raysearch.tune.store.weights import drop_weights
from raysearch.tune.values import value_of


class TrialFinalizer:
    """Ends trials, and trainings that are not a whole trial, from the files that they left."""

    def __init__(self, stored: StoredStudy, space: Space, paths: StudyPaths, listener: Listener) -> None:
        self.stored, self.space, self.paths, self.listener = stored, space, paths, listener

    def fold_trainings(self, number: int) -> list[FoldTraining]:
        return fold_trainings(number, self.space.data.folds)

    def folds_of(self, number: int) -> list[TrialPaths]:
        return [part.within(self.paths) for part in self.fold_trainings(number)]

    def end_training(self, part: FoldTraining, state: State, reason: str | None = None) -> None:
        """The end of a training; with folds that of its trial comes when all have ended."""
        if part.fold is None:
            return self.end(part.number, state, reason)
        folder = part.within(self.paths)
        write_result(folder, *self._facts(part, state), self.stored.trial(part.number).params, reason)
        clear(folder)

    def end_of_folds(self, number: int) -> None:
        """Of a trial whose folds have all ended: PRUNED where any was stopped."""
        results = [read_result(fold) or {} for fold in self.folds_of(number)]
        reasons = [result["reason"] for result in results if result["state"] == "PRUNED"]
        self.end(number, "PRUNED" if reasons else "COMPLETE", *reasons[:1])

    def end_with(self, number: int, fold: int) -> None:
        """The end of a trial one fold of which failed."""
        folder = self.folds_of(number)[fold]
        if folder.error.is_file():
            write_text(self.paths.trial(number).error, f"fold {fold}: {folder.error.read_text()}")
        result = read_result(folder) or {}
        self.end(number, "FAIL", f"fold {fold}: {result['reason']}")

    def end_as_it_stands(self, number: int, reason: str) -> bool:
        """End a trial some of whose folds are not through, if each has a look; whether it has."""
        parts = [part for part in self.fold_trainings(number) if not part.within(self.paths).result.is_file()]
        if not all(has_evaluation(part.within(self.paths)) for part in parts):
            return False
        for part in parts:
            self.end_training(part, "PRUNED", reason)
        self.end(number, "PRUNED", reason)
        return True

    def end(self, number: int, state: State, reason: str | None = None) -> None:
        """The end of a trial."""
        folder, search = self.paths.trial(number), self.space.search
        self.fill_curve(number)
        result = self._write_result(number, state, reason)
        value = result["value"]
        if search.objective == "ensemble_gain" and result["state"] != "FAIL":
            value, result = self._valued(result)
            write_json(folder.result, result)
        if result["value"] is not None:
            self.stored.set(number, "smoothed_best", result["value"])
            self.stored.set(number, "role", result["role"])
        if result["reason"]:
            self.stored.set(number, "reason", result["reason"])
        self.stored.end(number, result["state"], value)
        clear(folder)  # not before: until it is told, a dead driver's trial goes on from it
        self.listener.ended(number, result)
        if search.checkpoints_gb is not None:
            for dropped in drop_weights(self.paths, 1e9 * search.checkpoints_gb):
                self.listener.noted(f"search.checkpoints_gb: dropped {dropped}; its predictions are kept")

    def fill_curve(self, number: int) -> None:
        """The folder can be ahead of the study: after a kill, and at the look that ends a trial; of means it always
        is."""
        objective, folder = self.space.search.objective, self.paths.trial(number)
        lines = write_means(folder, self.folds_of(number)) if self.space.data.folds else read_metrics(folder)
        points = [(line["epoch"], value_of(line, objective)) for line in lines if "held_out" in line]
        self.stored.add_points(number, points)

    def _write_result(self, number: int, state: State, reason: str | None) -> dict[str, Any]:
        folder, params = self.paths.trial(number), self.stored.trial(number).params
        if not self.space.data.folds:
            return write_result(folder, *self._facts(FoldTraining(number), state), params, reason)
        folds = self.folds_of(number)
        try:
            return write_joint_result(folder, folds, *self._facts(FoldTraining(number), state), params, reason)
        except UserError as error:
            reason = f"its folds cannot be put together: {'; '.join(error.faults)}"
            return write_joint_result(folder, folds, *self._facts(FoldTraining(number), "FAIL"), params, reason)

    def _facts(self, part: FoldTraining, state: State) -> tuple[int, State, Objective, int, str]:
        """What a result says of its training: the first arguments of `write_result`."""
        path = part.within(self.paths).config
        config = TrainingConfig.model_validate(read_yaml(path)) if path.is_file() else None
        epochs, backbone = (config.trial.total_epochs, config.trial.backbone) if config else (0, "")
        return part.number, state, self.space.search.training_objective, epochs, backbone

    def _valued(self, result: dict[str, Any]) -> tuple[float | None, dict[str, Any]]:
        """The trial's worth to the ensemble, and the result with it."""
        try:
            gain = gain_of(self.paths, result["trial_number"])
        except UserError as error:
            reason = f"its worth to the ensemble cannot be told: {'; '.join(error.faults)}"
            return None, {**result, "state": "FAIL", "reason": reason}
        return gain, {**result, "ensemble_gain": gain}


def failed_fold(folds: Sequence[TrialPaths]) -> int | None:
    """The first of a trial's folds whose training failed."""
    results = (read_result(fold) for fold in folds)
    return next((fold for fold, result in enumerate(results) if result and result["state"] == "FAIL"), None)
