"""Ends trials: writes their results, updates the study, and removes weights that exceed the budget."""

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
from raysearch.tune.store.fold_training import FoldTraining, list_fold_trainings
from raysearch.tune.store.gain import compute_gain
from raysearch.tune.store.stored_study import StoredStudy
from raysearch.tune.store.trial_folder import clear, has_evaluation
from raysearch.tune.store.weights import drop_weights
from raysearch.tune.values import value_of


class TrialFinalizer:
    """Ends trials and the trainings of single folds, from the files that the trainings have written."""

    def __init__(self, stored: StoredStudy, space: Space, paths: StudyPaths, listener: Listener) -> None:
        self.stored, self.space, self.paths, self.listener = stored, space, paths, listener

    def list_trainings(self, number: int) -> list[FoldTraining]:
        return list_fold_trainings(number, self.space.data.trainings)

    def list_folders(self, number: int) -> list[TrialPaths]:
        """The folder of each training of a trial; with folds, in the order of the folds."""
        return [training.within(self.paths) for training in self.list_trainings(number)]

    def end_training(self, training: FoldTraining, state: State, reason: str | None = None) -> None:
        """End a training. Without folds this ends its trial. With folds, the trial ends after its last training."""
        if training.fold is None:
            return self.end_trial(training.number, state, reason)
        folder = training.within(self.paths)
        params = self.stored.trial(training.number).params
        write_result(folder, *self._describe(training, state), params, reason)
        clear(folder)

    def end_after_folds(self, number: int) -> None:
        """End a trial whose folds have all ended: PRUNED if any fold was stopped, else COMPLETE."""
        results = [read_result(folder) or {} for folder in self.list_folders(number)]
        reasons = [result["reason"] for result in results if result["state"] == "PRUNED"]
        self.end_trial(number, "PRUNED" if reasons else "COMPLETE", *reasons[:1])

    def end_after_failed_fold(self, number: int, fold: int) -> None:
        """End a trial as FAIL because its fold ``fold`` failed."""
        folder = self.list_folders(number)[fold]
        if folder.error.is_file():
            write_text(self.paths.trial(number).error, f"fold {fold}: {folder.error.read_text()}")
        result = read_result(folder) or {}
        self.end_trial(number, "FAIL", f"fold {fold}: {result['reason']}")

    def end_early(self, number: int, reason: str) -> bool:
        """End a trial with unfinished folds as PRUNED, if each of them has an evaluation. Returns whether it ended."""
        unfinished = [
            training for training in self.list_trainings(number) if not training.within(self.paths).result.is_file()
        ]
        if not all(has_evaluation(training.within(self.paths)) for training in unfinished):
            return False
        for training in unfinished:
            self.end_training(training, "PRUNED", reason)
        self.end_trial(number, "PRUNED", reason)
        return True

    def end_trial(self, number: int, state: State, reason: str | None = None) -> None:
        """Write the trial's `result.json`, end it in the study, and tell the listener.

        The trial becomes FAIL if its predictions cannot be joined or its ensemble gain cannot be computed.
        """
        folder, search = self.paths.trial(number), self.space.search
        self.fill_curve(number)
        result = self._write_result(number, state, reason)
        value = result["value"]
        if search.objective == "ensemble_gain" and result["state"] != "FAIL":
            value, result = self._add_gain(result)
            write_json(folder.result, result)
        if result["value"] is not None:
            self.stored.set(number, "smoothed_best", result["value"])
            self.stored.set(number, "role", result["role"])
        if result["reason"]:
            self.stored.set(number, "reason", result["reason"])
        self.stored.end(number, result["state"], value)
        # The checkpoint is removed last: if the driver dies before, the trial is still RUNNING and may need it.
        clear(folder)
        self.listener.ended(number, result)
        if search.checkpoints_gb is not None:
            for dropped in drop_weights(self.paths, 1e9 * search.checkpoints_gb):
                self.listener.noted(f"search.checkpoints_gb: dropped {dropped}; its predictions are kept")

    def fill_curve(self, number: int) -> None:
        """Copy the evaluations in the trial's folder to the study.

        The folder has evaluations that the study lacks after a kill, and after a training's last evaluation, for which
        Tune does not call `on_trial_result`. With folds this is the only source, because the curve holds means.
        """
        objective, folder = self.space.search.objective, self.paths.trial(number)
        lines = write_means(folder, self.list_folders(number)) if self.space.data.folds else read_metrics(folder)
        points = [(line["epoch"], value_of(line, objective)) for line in lines if "held_out" in line]
        self.stored.add_points(number, points)

    def _write_result(self, number: int, state: State, reason: str | None) -> dict[str, Any]:
        folder, params = self.paths.trial(number), self.stored.trial(number).params
        whole_trial = FoldTraining(number)
        if not self.space.data.folds:
            return write_result(folder, *self._describe(whole_trial, state), params, reason)
        folds = self.list_folders(number)
        try:
            return write_joint_result(folder, folds, *self._describe(whole_trial, state), params, reason)
        except UserError as error:
            reason = f"the predictions of its folds cannot be joined: {'; '.join(error.faults)}"
            return write_joint_result(folder, folds, *self._describe(whole_trial, "FAIL"), params, reason)

    def _describe(self, training: FoldTraining, state: State) -> tuple[int, State, Objective, int, str]:
        """The arguments of `write_result` after the folder: number, state, objective, epochs, backbone."""
        path = training.within(self.paths).config
        config = TrainingConfig.model_validate(read_yaml(path)) if path.is_file() else None
        epochs, backbone = (config.trial.total_epochs, config.trial.backbone) if config else (0, "")
        return training.number, state, self.space.search.training_objective, epochs, backbone

    def _add_gain(self, result: dict[str, Any]) -> tuple[float | None, dict[str, Any]]:
        """The trial's ensemble gain, and the result with it."""
        try:
            gain = compute_gain(self.paths, result["trial_number"])
        except UserError as error:
            reason = f"its ensemble gain cannot be computed: {'; '.join(error.faults)}"
            return None, {**result, "state": "FAIL", "reason": reason}
        return gain, {**result, "ensemble_gain": gain}


def find_failed_fold(folds: Sequence[TrialPaths]) -> int | None:
    """The first fold whose training failed; None if none did."""
    results = (read_result(fold) for fold in folds)
    return next((fold for fold, result in enumerate(results) if result and result["state"] == "FAIL"), None)
