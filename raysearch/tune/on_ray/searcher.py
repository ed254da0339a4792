"""A Ray Tune searcher whose whole state is a stored Optuna study and the trials' folders.

Nothing is pickled between runs: a new process that opens the study continues where the last one stopped, even if that
was killed. Ray's own `OptunaSearch` records a stopped trial as COMPLETE, enqueues the first trials at every start, and
leaves killed trials RUNNING. Here a stopped trial is PRUNED, a failed one is FAIL with its reason, and a trial that a
dead process left RUNNING continues under its number, from its checkpoint if it has one.

A Tune trial is one training. With `data.folds`, a trial of the study has one training per fold
(`raysearch.tune.store.fold_training`), which start before those of the next trial. `search.trials` counts trials, not
trainings, and the study holds trials only.

Tune calls a searcher in this order (Ray 2.60, `ray/tune/execution/tune_controller.py` and
`ray/tune/search/search_generator.py`; all calls come from the thread that runs `Tuner.fit`):

1. `suggest`, at every step of Tune's loop, until it returns None or enough trainings wait to start (the environment
   variable that `run_trials` sets). After None, Tune asks again at the next step, or after a second if no training is
   pending or running. After FINISHED, Tune never asks again.
2. `on_trial_result`, for each report of a training, after the scheduler's method of that name. Tune leaves it out for
   the report at which the scheduler stops the training.
3. `on_trial_complete`, when a training ends, also after the scheduler's method. If the training returned or the
   scheduler stopped it, ``result`` is its last report, which `on_trial_result` has already received in the first case.
   If it raised or its process died, ``result`` is None and ``error`` is true. ``result`` is None without ``error`` for
   a training that was stopped before it started.

Tune does not call `on_trial_complete` for trainings that still run when `Tuner.fit` ends early, by an exception or a
signal. If `on_trial_complete` raises for a training that returned or was stopped, Tune logs the exception and calls it
again with ``error``.
"""

import time
from collections.abc import Callable
from math import ceil
from typing import Any

import optuna
from optuna.trial import TrialState
from ray.tune.search import Searcher

from raysearch.config import TrainingConfig
from raysearch.errors import SpaceError, StudyError
from raysearch.io import read_yaml, write_text, write_yaml
from raysearch.paths import StudyPaths
from raysearch.space import Ablation, Space
from raysearch.train.disk import wait_for_disk_space
from raysearch.train.result import State, read_metrics, read_result
from raysearch.train.training_job import TrainingJob
from raysearch.tune.listener import Listener
from raysearch.tune.on_ray.failures import is_out_of_memory
from raysearch.tune.on_ray.memory import halve_batches
from raysearch.tune.store.fold_training import FoldTraining, prepare_config
from raysearch.tune.store.stored_study import DEATHS, StoredStudy
from raysearch.tune.store.trial_finalizer import TrialFinalizer, find_failed_fold
from raysearch.tune.store.trial_folder import clear, count_epochs_done, has_evaluation, read_error_summary
from raysearch.tune.values import BY_SCHEDULER, METRIC, PROGRESS

MAX_DEATHS = 3
"""Deaths of a training's process within one epoch after which the trial is FAIL."""


class StudySearcher(Searcher):
    """Proposes trainings until ``space.search.trials`` trials are COMPLETE or PRUNED. A FAIL trial is replaced."""

    def __init__(
        self,
        study: optuna.Study,
        space: Space,
        paths: StudyPaths,
        concurrency: int,
        listener: Listener,
        load_error: Callable[[str], Exception | None] = lambda trial_id: None,
        ends_at: float | None = None,
    ) -> None:
        """``concurrency``: trainings at once. ``load_error``: returns the error of a failed training by Tune's id.
        ``ends_at``: time at which trainings with a time limit must have ended, in seconds since the epoch."""
        super().__init__(metric=METRIC, mode="max" if space.search.maximizes else "min")
        self.stored, self.space, self.paths = StoredStudy(study), space, paths
        self.finalizer = TrialFinalizer(self.stored, space, paths, listener)
        self.concurrency, self.listener, self.load_error = concurrency, listener, load_error
        self.ends_at = ends_at
        self._live: dict[str, FoldTraining] = {}
        """Trainings that Tune runs, by Tune's id"""
        self._waiting: list[FoldTraining] = []
        """Trainings of started trials that are still to run, or to run again"""
        trainings = [training for number, _ in paths.trials() for training in self.finalizer.list_trainings(number)]
        self._epochs = {training: count_epochs_done(training.within(paths)) for training in trainings}
        """Finished epochs of every training of the study"""
        self._announced: set[int] = set()
        """Trials that the listener knows as started"""
        self._noted_batches: set[FoldTraining] = set()
        """Trainings with smaller batches that the listener knows of"""
        self._recover()
        # Failures before this start do not count: a user who resumes has presumably fixed their cause.
        self._failed_before = self.stored.num_failed
        self._enqueue_first_trials()

    # State that the last process left.

    def _recover(self) -> None:
        for training in self._epochs:
            folder = training.within(self.paths)
            folder.paused.unlink(missing_ok=True)  # a killed training may have left it
            if folder.result.is_file():
                clear(folder)
        for trial in self.stored.trials(TrialState.RUNNING):
            # The result is written before the study is updated, and the last process may have died between the two.
            if result := read_result(self.paths.trial(trial.number)):
                self.finalizer.end_trial(trial.number, result["state"], result["reason"])
            else:
                self._recover_trial(trial.number)

    def _recover_trial(self, number: int) -> None:
        """Queue the unfinished trainings of a RUNNING trial, or end the trial if one of them has failed or stopped."""
        self.finalizer.fill_curve(number)
        for training in self.finalizer.list_trainings(number):
            folder = training.within(self.paths)
            lines = read_metrics(folder)
            if folder.result.is_file():
                continue
            if folder.error.is_file():
                self.finalizer.end_training(training, "FAIL", read_error_summary(folder))
            elif training.fold is None and lines and lines[-1].get("partial"):
                self.finalizer.end_training(training, "PRUNED", "stopped, then its driver died")
            else:
                self._waiting.append(training)
        if self.space.data.folds:
            self._end_trial_of_folds(number)

    def _enqueue_first_trials(self) -> None:
        if self.space.ablation:
            return self._enqueue_rows(self.space.ablation)
        known = {trial.user_attrs.get("first") for trial in self.stored.trials()}
        for index, fixed in enumerate(self.space.search.first):
            if index not in known:
                self.stored.enqueue(self.space.trial.to_params(fixed), first=index, fixed=fixed)

    def _enqueue_rows(self, ablation: Ablation) -> None:
        """Enqueue every training of the ablation that is not complete, running or waiting.

        So failed and interrupted trainings run again. Waiting trainings that are no longer in the ablation are removed.
        """
        fixed_values = [training.fixed for training in ablation.trainings]
        for trial in self.stored.trials(TrialState.WAITING):
            if trial.user_attrs.get("fixed") not in fixed_values:
                self.stored.withdraw(trial.number, "no longer in the ablation")
        states = (TrialState.COMPLETE, TrialState.RUNNING, TrialState.WAITING)
        known = [trial.user_attrs.get("fixed") for trial in self.stored.trials(*states)]
        for training in ablation.trainings:
            if training.fixed not in known:
                self.stored.enqueue({}, fixed=training.fixed, rows=list(training.rows))

    # Progress of the search.

    @property
    def num_trials_left(self) -> int:
        """Trials that are still to start. An ablation has only those that are enqueued."""
        if self.space.ablation:
            return len(self.stored.trials(TrialState.WAITING)) + len(self._waiting)
        return self.space.search.trials - self.stored.num_counted - len(self._live_trials)

    @property
    def _live_trials(self) -> set[int]:
        """Numbers of the trials of which a training runs."""
        return {training.number for training in self._live.values()}

    @property
    def has_failed_too_often(self) -> bool:
        """Whether more than `search.max_failures` trials have failed since this start."""
        return self.stored.num_failed - self._failed_before > self.space.search.max_failures

    @property
    def has_spent_its_epochs(self) -> bool:
        """Whether all trainings together have used up `search.epochs`."""
        budget = self.space.search.epochs
        return budget is not None and sum(self._epochs.values()) >= budget

    # Calls from Tune.

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next training as plain values of a `TrainingJob`; None if none can start now; FINISHED after the last."""
        if self.paths.stop.exists() or self.has_failed_too_often or self.has_spent_its_epochs:
            return Searcher.FINISHED
        training = self._next_training() if len(self._live) < self.concurrency else None
        if training is None:
            return None if self._live else Searcher.FINISHED
        number = training.number
        trial_config = self._load_or_draw_config(number)
        if trial_config is None:
            self._drop_waiting(number)
            return None
        config = prepare_config(trial_config, training, self.paths)
        self._live[trial_id] = training
        if number not in self._announced:
            self._announced.add(number)
            self.listener.started(number, config, self._count_trial_epochs(number))
        folder, threads = training.within(self.paths).root.resolve(), self.space.resources.cpus_per_worker
        share_s = self._share_of_time()
        return TrainingJob(folder, number, self.paths.stop.resolve(), threads, share_s, self.ends_at).plain

    def _share_of_time(self) -> float | None:
        """Seconds that the newest training may take, so that all others still have as long; None without a limit."""
        if self.ends_at is None:
            return None
        begun = self._live_trials | {training.number for training in self._waiting}
        new = (
            len(self.stored.trials(TrialState.WAITING))
            if self.space.ablation
            else max(0, self.space.search.trials - self.stored.num_counted - len(begun))
        )
        waves = ceil((1 + len(self._waiting) + new * (self.space.data.trainings or 1)) / self.concurrency)
        return (self.ends_at - time.time()) / waves

    def _next_training(self) -> FoldTraining | None:
        """A waiting training, else the first training of a new trial.

        If no more trials may start, only a training of a trial that already runs is taken.
        """
        live, left = self._live_trials, self.num_trials_left
        training = next((training for training in self._waiting if left > 0 or training.number in live), None)
        if training is None and left <= 0:
            return None
        wait_for_disk_space(self.paths.root)
        if training is None:
            self._waiting += self.finalizer.list_trainings(self._create_trial())
            training = self._waiting[0]
        self._waiting.remove(training)
        return training

    def _count_trial_epochs(self, number: int) -> int:
        """Finished epochs of all trainings of a trial."""
        return sum(count_epochs_done(folder) for folder in self.finalizer.list_folders(number))

    def _create_trial(self) -> int:
        number = self.stored.study.ask().number
        if self.paths.trial(number).root.exists():
            self.stored.end(number, "FAIL", None)
            raise StudyError(
                f"{self.paths.trial(number).root}: a new trial needs this folder, but it already exists; "
                f"{self.paths.database} has no such trial, so it is not the database of this folder's trials"
            )
        return number

    def _load_or_draw_config(self, number: int) -> TrainingConfig | None:
        """The trial's config, drawn at its first start. None, and the trial FAIL, if the drawn values are invalid."""
        folder = self.paths.trial(number)
        if folder.config.is_file():
            return TrainingConfig.model_validate(read_yaml(folder.config))
        trial = self.stored.live_trial(number)
        fixed = trial.user_attrs.get("fixed", {})
        try:
            config = self.space.trial.suggest(trial, fixed)
        except SpaceError as error:
            self.finalizer.end_trial(number, "FAIL", "; ".join(error.faults))
            return None
        if "seed" not in fixed:  # ensembles benefit from members that differ, so each trial has its own seed
            config = config.model_copy(update={"seed": config.seed + number})
        training = TrainingConfig(data=self.space.data, objective=self.space.search.training_objective, trial=config)
        write_yaml(folder.config, training.model_dump())
        return training

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Store an evaluation of a training."""
        training = self._live[trial_id]
        wait_for_disk_space(self.paths.root)
        if training.fold is None:
            self.stored.add_point(training.number, result["epoch"], result[METRIC])
        else:
            self.finalizer.fill_curve(training.number)
        self._update_epochs(training, result["epoch"])
        self._note_smaller_batches(training)
        report = result if training.fold is None else self._add_fold_progress(training, result)
        self.listener.reported(training.number, report)

    def _add_fold_progress(self, training: FoldTraining, result: dict[str, Any]) -> dict[str, Any]:
        """A fold's report with the fold and with the epochs of all folds of its trial."""
        done = self._count_trial_epochs(training.number)
        total = result["epochs"] * len(self.finalizer.list_trainings(training.number))
        return {**result, "fold": training.fold, "epoch": done, "epochs": total, PROGRESS: 100 * done / total}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """End a training: COMPLETE if it did all epochs, PRUNED if fewer, FAIL if it raised.

        A training whose process died without an `error.txt` runs again under its number.
        """
        training = self._live.pop(trial_id)
        folder = training.within(self.paths)
        wait_for_disk_space(self.paths.root)
        if error and folder.error.is_file():
            self.finalizer.end_training(training, "FAIL", read_error_summary(folder))
        elif error:
            self._handle_death(training, self.load_error(trial_id))
        elif result:  # without a result the trial stays RUNNING, and the next start continues it
            # Tune does not pass the report at which the scheduler stops a training to on_trial_result.
            self._update_epochs(training, result["epoch"])
            if result["is_whole"] and result["epoch"] >= result["epochs"]:
                self.finalizer.end_training(training, "COMPLETE")
            elif training.fold is None or not self.paths.stop.is_file():
                self.finalizer.end_training(training, "PRUNED", self._read_stop_reason(training))
        if training.fold is not None and (error or result):
            self._end_trial_of_folds(training.number)

    def _read_stop_reason(self, training: FoldTraining) -> str:
        if self.paths.stop.is_file():
            return self.paths.stop.read_text()
        failed = None if training.fold is None else find_failed_fold(self.finalizer.list_folders(training.number))
        return BY_SCHEDULER if failed is None else f"fold {failed} failed"

    def finish(self) -> None:
        """After the search: end the trials of waiting trainings if these will never run.

        If the time limit or a signal stopped the search, they stay for the next start. So does a trial in which a fold
        has no evaluation yet.
        """
        has_enough = self.space.ablation is None and self.stored.num_counted >= self.space.search.trials
        if not (self.has_spent_its_epochs or has_enough):
            return
        reason = (
            "search.epochs is used up" if self.has_spent_its_epochs else "the search has reached its number of trials"
        )
        waiting, self._waiting = self._waiting, []
        for number in dict.fromkeys(training.number for training in waiting):
            if self.space.data.folds:
                self.finalizer.end_early(number, reason)
            else:
                state: State = "PRUNED" if has_evaluation(self.paths.trial(number)) else "FAIL"
                self.finalizer.end_trial(number, state, reason)

    def save(self, checkpoint_path: str) -> None:
        """Do nothing: the study is the state."""

    def restore(self, checkpoint_path: str) -> None:
        """Do nothing: the study is the state."""

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles its settings for Tuner.restore, which raysearch does not use

    # Deaths, and the end of trials with folds.

    def _handle_death(self, training: FoldTraining, error: Exception | None) -> None:
        """The training's process died without raising: restart it, unless it died too often in this epoch."""
        folder, number = training.within(self.paths), training.number
        self._announced.discard(number)
        reason = " ".join(str(error).split())[:200] if error else "no reason is known"
        if error and is_out_of_memory(error) and folder.config.is_file() and halve_batches(folder, error):
            self._note_smaller_batches(training)
            self._waiting.append(training)
            return
        done, key = count_epochs_done(folder), DEATHS if training.fold is None else f"{DEATHS}_{training.fold}"
        deaths = [*self.stored.trial(number).user_attrs.get(key, []), done]
        self.stored.set(number, key, deaths)
        if (times := deaths.count(done)) >= MAX_DEATHS:
            reason = f"its process died {times} times in epoch {done + 1} ({reason})"
            self.finalizer.end_training(training, "FAIL", reason)
        else:
            process = "its process" if training.fold is None else f"the process of fold {training.fold}"
            self.listener.interrupted(number, f"{process} died ({reason})")
            self._waiting.append(training)

    def _drop_waiting(self, number: int) -> None:
        self._waiting = [training for training in self._waiting if training.number != number]

    def _end_trial_of_folds(self, number: int) -> None:
        """End a trial once none of its folds runs, if a fold failed or stopped, or all are done."""
        folders = self.finalizer.list_folders(number)
        results = [read_result(folder) for folder in folders]
        states = {result["state"] for result in results if result}
        if "FAIL" in states or "PRUNED" in states:
            self._drop_waiting(number)
        if number in self._live_trials:
            return
        if (failed := find_failed_fold(folders)) is not None:
            self.finalizer.end_after_failed_fold(number, failed)
        elif None not in results:
            self.finalizer.end_after_folds(number)
        elif "PRUNED" in states:  # a fold died after the evaluation at which the others were stopped
            self.finalizer.end_early(number, BY_SCHEDULER)
        elif self.paths.stop.is_file() and self.finalizer.end_early(number, self.paths.stop.read_text()):
            self._drop_waiting(number)

    def _update_epochs(self, training: FoldTraining, epoch: int) -> None:
        """Count a training's epochs, and stop the search when they use up `search.epochs`."""
        self._epochs[training] = epoch
        if self.has_spent_its_epochs and not self.paths.stop.exists():
            reason = f"the budget of {self.space.search.epochs} epochs (search.epochs)"
            write_text(self.paths.stop, f"stopped by {reason}")
            self.listener.noted(f"stopped by {reason}: running trials end after their batch")

    def _note_smaller_batches(self, training: FoldTraining) -> None:
        note = training.within(self.paths).smaller_batches
        if training not in self._noted_batches and note.is_file():
            self._noted_batches.add(training)
            self.listener.noted(f"{training.name}: {note.read_text()}")
