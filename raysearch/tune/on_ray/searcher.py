"""A Ray Tune searcher whose whole state is a stored Optuna study and the trials' folders.

Nothing is pickled between runs: a new process that opens the same study goes on where the last one, even a
killed one, left off. Ray's own `OptunaSearch` tells a stopped trial COMPLETE, enqueues seed points at every
start and leaves killed trials RUNNING; here stopped is PRUNED, an error is FAIL with its reason, and what a dead
process left RUNNING goes on under its number, from its checkpoint if it has one.

Tune runs trainings. With `data.folds` a trial has one training a fold (`raysearch.tune.store.fold_training`), and they
start before those of the next trial. Trials are counted, not folds, and the study holds trials only.

Tune calls a searcher in this order: `suggest` until it returns None or FINISHED; for each report of a training
`on_trial_result`, except for the report at which the scheduler stops it; then once `on_trial_complete`, whose `result`
is the last report, and None when it failed or was cut off. All calls come from one thread.
"""

from collections.abc import Callable
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
from raysearch.train.result import read_metrics, read_result
from raysearch.train.training_job import TrainingJob
from raysearch.tune.listener import Listener
from raysearch.tune.on_ray.failures import is_out_of_memory
from raysearch.tune.on_ray.memory import halve_batches
from raysearch.tune.store.fold_training import FoldTraining, config_of
from raysearch.tune.store.stored_study import DEATHS, StoredStudy
from raysearch.tune.store.trial_finalizer import TrialFinalizer, failed_fold
from raysearch.tune.store.trial_folder import clear, epochs_done, first_line, has_evaluation
from raysearch.tune.values import BY_SCHEDULER, METRIC, PROGRESS

MAX_DEATHS = 3
"""Times that a trial's process may die within an epoch; after the last the trial is a FAIL."""


class StudySearcher(Searcher):
    """Counts a trial once it ends COMPLETE or PRUNED, until ``space.search.trials`` have; a FAIL is replaced."""

    def __init__(
        self,
        study: optuna.Study,
        space: Space,
        paths: StudyPaths,
        concurrency: int,
        listener: Listener,
        error_of: Callable[[str], Exception | None] = lambda trial_id: None,
    ) -> None:
        """``error_of``: what Tune knows of the end of a trial that failed, by its id there."""
        super().__init__(metric=METRIC, mode="max" if space.search.maximizes else "min")
        self.stored, self.space, self.paths = StoredStudy(study), space, paths
        self.endings = TrialFinalizer(self.stored, space, paths, listener)
        self.concurrency, self.listener, self.error_of = concurrency, listener, error_of
        self._live: dict[str, FoldTraining] = {}
        self._waiting: list[FoldTraining] = []
        """Trainings of trials that have begun"""
        parts = [part for number, _ in paths.trials() for part in self.endings.fold_trainings(number)]
        self._epochs = {part: epochs_done(part.within(paths)) for part in parts}
        self._started: set[int] = set()
        self._told_of: set[FoldTraining] = set()
        self._recover()
        self._failed_before = self.stored.failed
        self._enqueue_first()

    # What the last process left.

    def _recover(self) -> None:
        for part in self._epochs:
            folder = part.within(self.paths)
            folder.paused.unlink(missing_ok=True)  # a kill leaves it
            if folder.result.is_file():
                clear(folder)
        for trial in self.stored.trials(TrialState.RUNNING):
            if result := read_result(self.paths.trial(trial.number)):  # written, but not told
                self.endings.end(trial.number, result["state"], result["reason"])
            else:
                self._take_up(trial.number)

    def _take_up(self, number: int) -> None:
        """What a trial was at: its trainings that have not ended go on, unless one of them ends it."""
        self.endings.fill_curve(number)
        for part in self.endings.fold_trainings(number):
            folder = part.within(self.paths)
            lines = read_metrics(folder)
            if folder.result.is_file():
                continue
            if folder.error.is_file():
                self.endings.end_training(part, "FAIL", first_line(folder))
            elif part.fold is None and lines and lines[-1].get("partial"):
                self.endings.end_training(part, "PRUNED", "stopped, then its driver died")
            else:
                self._waiting.append(part)
        if self.space.data.folds:
            self._settle(number)

    def _enqueue_first(self) -> None:
        if self.space.ablation:
            return self._enqueue_rows(self.space.ablation)
        known = {trial.user_attrs.get("first") for trial in self.stored.trials()}
        for index, fixed in enumerate(self.space.search.first):
            if index not in known:
                self.stored.enqueue(self.space.trial.to_params(fixed), first=index, fixed=fixed)

    def _enqueue_rows(self, ablation: Ablation) -> None:
        """Every training of the ablation that is neither whole nor on its way: failed and cut-off ones once more.

        Those that an earlier start asked for and this one does not are no longer waited for.
        """
        wanted = [training.fixed for training in ablation.trainings]
        for trial in self.stored.trials(TrialState.WAITING):
            if trial.user_attrs.get("fixed") not in wanted:
                self.stored.withdraw(trial.number, "no longer asked for")
        states = (TrialState.COMPLETE, TrialState.RUNNING, TrialState.WAITING)
        known = [trial.user_attrs.get("fixed") for trial in self.stored.trials(*states)]
        for training in ablation.trainings:
            if training.fixed not in known:
                self.stored.enqueue({}, fixed=training.fixed, rows=list(training.rows))

    # How far the search is.

    @property
    def left(self) -> int:
        """Trials that are still to be started; of an ablation those that are enqueued, and no others."""
        if self.space.ablation:
            return len(self.stored.trials(TrialState.WAITING)) + len(self._waiting)
        return self.space.search.trials - self.stored.counted - len(self._begun)

    @property
    def _begun(self) -> set[int]:
        """The trials that are being trained."""
        return {part.number for part in self._live.values()}

    @property
    def has_failed_too_often(self) -> bool:
        """Of the failures since this start: whoever resumes has mended the cause."""
        return self.stored.failed - self._failed_before > self.space.search.max_failures

    @property
    def has_spent_its_epochs(self) -> bool:
        """Whether all trainings together have done the epochs of the budget."""
        budget = self.space.search.epochs
        return budget is not None and sum(self._epochs.values()) >= budget

    # Tune's calls.

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next training; None while none may start; FINISHED when no more will."""
        if self.paths.stop.exists() or self.has_failed_too_often or self.has_spent_its_epochs:
            return Searcher.FINISHED
        part = self._next() if len(self._live) < self.concurrency else None
        if part is None:
            return None if self._live else Searcher.FINISHED
        training = self._configured(part.number)
        if training is None:
            self._drop_waiting(part.number)
            return None
        training = config_of(training, part, self.paths)
        self._live[trial_id] = part
        if part.number not in self._started:
            self._started.add(part.number)
            self.listener.started(part.number, training, self._epochs_of(part.number))
        folder, threads = part.within(self.paths).root.resolve(), self.space.resources.cpus_per_worker
        return TrainingJob(folder, part.number, self.paths.stop.resolve(), threads).plain

    def _next(self) -> FoldTraining | None:
        """What waits goes first: of trials that are being trained, or where another trial may start."""
        begun, left = self._begun, self.left
        part = next((part for part in self._waiting if left > 0 or part.number in begun), None)
        if part is None and left <= 0:
            return None
        wait_for_disk_space(self.paths.root)
        if part is None:
            self._waiting += self.endings.fold_trainings(self._asked())
            part = self._waiting[0]
        self._waiting.remove(part)
        return part

    def _epochs_of(self, number: int) -> int:
        """That its trainings have done."""
        return sum(epochs_done(part.within(self.paths)) for part in self.endings.fold_trainings(number))

    def _asked(self) -> int:
        number = self.stored.study.ask().number
        if self.paths.trial(number).root.exists():
            self.stored.end(number, "FAIL", None)
            raise StudyError(
                f"{self.paths.trial(number).root}: stands in the way of a new trial; {self.paths.database} does "
                "not know of it, so it is not the database of this folder's trials"
            )
        return number

    def _configured(self, number: int) -> TrainingConfig | None:
        """What a trial trains; None when what was drawn cannot be trained together: that trial is a FAIL."""
        folder = self.paths.trial(number)
        if folder.config.is_file():
            return TrainingConfig.model_validate(read_yaml(folder.config))
        trial = self.stored.live(number)
        fixed = trial.user_attrs.get("fixed", {})
        try:
            config = self.space.trial.suggest(trial, fixed)
        except SpaceError as error:
            self.endings.end(number, "FAIL", "; ".join(error.faults))
            return None
        if "seed" not in fixed:  # members of an ensemble gain from differing, so each trial has a seed of its own
            config = config.model_copy(update={"seed": config.seed + number})
        training = TrainingConfig(data=self.space.data, objective=self.space.search.training_objective, trial=config)
        write_yaml(folder.config, training.model_dump())
        return training

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """One look at the held-out split."""
        part = self._live[trial_id]
        wait_for_disk_space(self.paths.root)
        if part.fold is None:
            self.stored.add_point(part.number, result["epoch"], result[METRIC])
        else:
            self.endings.fill_curve(part.number)
        self._count_epochs(part, result["epoch"])
        self._tell_of_smaller_batches(part)
        self.listener.reported(part.number, result if part.fold is None else self._of_all_folds(part, result))

    def _of_all_folds(self, part: FoldTraining, result: dict[str, Any]) -> dict[str, Any]:
        """A fold's report, in which epochs are those of all folds of its trial: done, and to be done."""
        done, total = self._epochs_of(part.number), result["epochs"] * len(self.endings.fold_trainings(part.number))
        return {**result, "fold": part.fold, "epoch": done, "epochs": total, PROGRESS: 100 * done / total}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """A training's end: all epochs done is COMPLETE, fewer is PRUNED, an error is FAIL.

        A training whose process died goes on under its number.
        """
        part = self._live.pop(trial_id)
        folder = part.within(self.paths)
        wait_for_disk_space(self.paths.root)
        if error and folder.error.is_file():
            self.endings.end_training(part, "FAIL", first_line(folder))
        elif error:
            self._lose(part, self.error_of(trial_id))
        elif result:  # else it was cut off from outside: it stays RUNNING, and the next process goes on with it
            # Tune leaves the stopping result out of on_trial_result.
            self._count_epochs(part, result["epoch"])
            if result["is_whole"] and result["epoch"] >= result["epochs"]:
                self.endings.end_training(part, "COMPLETE")
            elif part.fold is None or not self.paths.stop.is_file():
                self.endings.end_training(part, "PRUNED", self._stopped_by(part))
        if part.fold is not None and (error or result):
            self._settle(part.number)

    def _stopped_by(self, part: FoldTraining) -> str:
        if self.paths.stop.is_file():
            return self.paths.stop.read_text()
        failed = None if part.fold is None else failed_fold(self.endings.folds_of(part.number))
        return BY_SCHEDULER if failed is None else f"fold {failed} failed"

    def finish(self) -> None:
        """After the last trial: those that wait to go on, and never will, end as they stand.

        A search that was stopped by its time limit or a signal leaves them to the next start; so does any search a
        trial in which a fold has no look yet.
        """
        has_enough = self.space.ablation is None and self.stored.counted >= self.space.search.trials
        if not (self.has_spent_its_epochs or has_enough):
            return
        reason = "the epochs of search.epochs are spent" if self.has_spent_its_epochs else "no more trials are wanted"
        waiting, self._waiting = self._waiting, []
        for number in dict.fromkeys(part.number for part in waiting):
            if self.space.data.folds:
                self.endings.end_as_it_stands(number, reason)
            else:
                self.endings.end(number, "PRUNED" if has_evaluation(self.paths.trial(number)) else "FAIL", reason)

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: the study is the state."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore."""

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles its settings for Tuner.restore, which is not used here

    # What becomes of a trial.

    def _lose(self, part: FoldTraining, error: Exception | None) -> None:
        """Its process died without a word of its own: go on with it, unless that has not helped before."""
        folder, number = part.within(self.paths), part.number
        self._started.discard(number)
        reason = " ".join(str(error).split())[:200] if error else "no reason is known"
        if error and is_out_of_memory(error) and folder.config.is_file() and halve_batches(folder, error):
            self._tell_of_smaller_batches(part)
            self._waiting.append(part)
            return
        done, key = epochs_done(folder), DEATHS if part.fold is None else f"{DEATHS}_{part.fold}"
        deaths = [*self.stored.trial(number).user_attrs.get(key, []), done]
        self.stored.set(number, key, deaths)
        if (times := deaths.count(done)) >= MAX_DEATHS:
            self.endings.end_training(part, "FAIL", f"its process died {times} times in epoch {done + 1} ({reason})")
        else:
            which = "its process" if part.fold is None else f"the process of fold {part.fold}"
            self.listener.interrupted(number, f"{which} died ({reason})")
            self._waiting.append(part)

    def _drop_waiting(self, number: int) -> None:
        self._waiting = [part for part in self._waiting if part.number != number]

    def _settle(self, number: int) -> None:
        """End a trial of which no fold trains any more, if one has failed or none is left to be trained."""
        folds = self.endings.folds_of(number)
        results = [read_result(fold) for fold in folds]
        states = {result["state"] for result in results if result}
        if "FAIL" in states or "PRUNED" in states:
            self._drop_waiting(number)
        if number in self._begun:
            return
        if (failed := failed_fold(folds)) is not None:
            self.endings.end_with(number, failed)
        elif None not in results:
            self.endings.end_of_folds(number)
        elif "PRUNED" in states:  # a fold died after the look that stopped the others
            self.endings.end_as_it_stands(number, BY_SCHEDULER)
        elif self.paths.stop.is_file() and self.endings.end_as_it_stands(number, self.paths.stop.read_text()):
            self._drop_waiting(number)

    def _count_epochs(self, part: FoldTraining, epoch: int) -> None:
        self._epochs[part] = epoch
        if self.has_spent_its_epochs and not self.paths.stop.exists():
            reason = f"the budget of {self.space.search.epochs} epochs (search.epochs)"
            write_text(self.paths.stop, f"stopped by {reason}")
            self.listener.noted(f"stopped by {reason}: running trials end after their batch")

    def _tell_of_smaller_batches(self, part: FoldTraining) -> None:
        note = part.within(self.paths).smaller_batches
        if part not in self._told_of and note.is_file():
            self._told_of.add(part)
            self.listener.noted(f"{part.name}: {note.read_text()}")
