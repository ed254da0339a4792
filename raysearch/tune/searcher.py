"""A Ray Tune searcher whose whole state is a stored Optuna study and the trials' folders.

Nothing is pickled between runs: a new process that opens the same study goes on where the last one, even a
killed one, left off. Ray's own `OptunaSearch` tells a stopped trial COMPLETE, enqueues seed points at every
start and leaves killed trials RUNNING; here stopped is PRUNED, an error is FAIL with its reason, and what a dead
process left RUNNING goes on under its number, from its checkpoint if it has one.
"""

import shutil
from collections.abc import Callable
from typing import Any

import optuna
from optuna.trial import TrialState
from ray.tune.search import Searcher

from raysearch.config import TrainingConfig
from raysearch.errors import SpaceError, StudyError, UserError
from raysearch.io import read_yaml, write_json, write_text, write_yaml
from raysearch.paths import StudyPaths, TrialPaths
from raysearch.space import Ablation, Space
from raysearch.train.disk import wait_for_room
from raysearch.train.hosted import Hosted
from raysearch.train.result import State, read_metrics, read_result, write_result
from raysearch.tune.gain import gain_of
from raysearch.tune.listener import Listener
from raysearch.tune.memory import halve_batches, is_out_of_memory
from raysearch.tune.progress import BY_SCHEDULER
from raysearch.tune.stored import DEATHS, StoredStudy
from raysearch.tune.trial import METRIC, value_of
from raysearch.tune.weights import drop_weights

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
        self.concurrency, self.listener, self.error_of = concurrency, listener, error_of
        self._numbers: dict[str, int] = {}
        self._resumable: list[int] = []
        self._epochs = {number: _epochs_done(folder) for number, folder in paths.trials()}
        self._told_of: set[int] = set()
        self._recover()
        self._failed_before = self.stored.failed
        self._enqueue_first()

    # What the last process left.

    def _recover(self) -> None:
        for _, folder in self.paths.trials():
            folder.paused.unlink(missing_ok=True)  # a kill leaves it
            if folder.result.is_file():
                _clear(folder)
        for trial in self.stored.trials(TrialState.RUNNING):
            folder = self.paths.trial(trial.number)
            lines = read_metrics(folder)
            if result := read_result(folder):  # written, but not told
                self._end(trial.number, result["state"], result["reason"])
            elif folder.error.is_file():
                self._end(trial.number, "FAIL", _first_line(folder))
            elif lines and lines[-1].get("partial"):
                self._end(trial.number, "PRUNED", "stopped, then its driver died")
            else:
                self._fill_curve(trial.number)
                self._resumable.append(trial.number)

    def _enqueue_first(self) -> None:
        if self.space.ablation:
            return self._enqueue_rows(self.space.ablation)
        known = {trial.user_attrs.get("first") for trial in self.stored.trials()}
        for index, fixed in enumerate(self.space.search.first):
            if index not in known:
                self.stored.enqueue(self.space.trial.params_of(fixed), first=index, fixed=fixed)

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
            return len(self.stored.trials(TrialState.WAITING)) + len(self._resumable)
        return self.space.search.trials - self.stored.counted - len(self._numbers)

    @property
    def has_failed_too_often(self) -> bool:
        """Of the failures since this start: whoever resumes has mended the cause."""
        return self.stored.failed - self._failed_before > self.space.search.max_failures

    @property
    def has_spent_its_epochs(self) -> bool:
        """Whether all trials together have done the epochs of the budget."""
        budget = self.space.search.epochs
        return budget is not None and sum(self._epochs.values()) >= budget

    # Tune's calls.

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next trial; None while none may start; FINISHED when no more will."""
        live = len(self._numbers)
        if self.paths.stop.exists() or self.has_failed_too_often or self.has_spent_its_epochs:
            return Searcher.FINISHED
        if self.left <= 0 or live >= self.concurrency:
            return None if live else Searcher.FINISHED
        wait_for_room(self.paths.root)
        number = self._resumable.pop(0) if self._resumable else self._asked()
        config = self._configured(number)
        if config is None:
            return None
        self._numbers[trial_id] = number
        folder = self.paths.trial(number)
        self.listener.started(number, config, _epochs_done(folder))
        threads = self.space.resources.cpus_per_worker
        return Hosted(folder.root.resolve(), number, self.paths.stop.resolve(), threads).plain

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
            self._end(number, "FAIL", "; ".join(error.faults))
            return None
        if "seed" not in fixed:  # members of an ensemble gain from differing, so each trial has a seed of its own
            config = config.model_copy(update={"seed": config.seed + number})
        training = TrainingConfig(data=self.space.data, objective=self.space.search.training_objective, trial=config)
        write_yaml(folder.config, training.model_dump())
        return training

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """One look at the held-out split."""
        number = self._numbers[trial_id]
        wait_for_room(self.paths.root)
        self.stored.add_point(number, result["epoch"], result[METRIC])
        self._count_epochs(number, result["epoch"])
        self._tell_of_smaller_batches(number)
        self.listener.reported(number, result)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """The trial's end: all epochs done is COMPLETE, fewer is PRUNED, an error is FAIL.

        A trial whose process died goes on under its number.
        """
        number = self._numbers.pop(trial_id)
        wait_for_room(self.paths.root)
        if error and self.paths.trial(number).error.is_file():
            return self._end(number, "FAIL", _first_line(self.paths.trial(number)))
        if error:
            return self._lose(number, self.error_of(trial_id))
        if not result:  # cut off from outside: it stays RUNNING, and the next process goes on with it
            return None
        # Tune leaves the stopping result out of on_trial_result.
        self._count_epochs(number, result["epoch"])
        if result["is_whole"] and result["epoch"] >= result["epochs"]:
            return self._end(number, "COMPLETE")
        stop = self.paths.stop
        return self._end(number, "PRUNED", stop.read_text() if stop.is_file() else BY_SCHEDULER)

    def finish(self) -> None:
        """After the last trial: those that wait to go on, and never will, end as they stand.

        A search that was stopped by its time limit or a signal leaves them to the next start.
        """
        has_enough = self.space.ablation is None and self.stored.counted >= self.space.search.trials
        if not (self.has_spent_its_epochs or has_enough):
            return
        reason = "the epochs of search.epochs are spent" if self.has_spent_its_epochs else "no more trials are wanted"
        while self._resumable:
            number = self._resumable.pop()
            has_look = any("held_out" in line for line in read_metrics(self.paths.trial(number)))
            self._end(number, "PRUNED" if has_look else "FAIL", reason)

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: the study is the state."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore."""

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles its settings for Tuner.restore, which is not used here

    # What becomes of a trial.

    def _lose(self, number: int, error: Exception | None) -> None:
        """Its process died without a word of its own: go on with it, unless that has not helped before."""
        folder = self.paths.trial(number)
        reason = " ".join(str(error).split())[:200] if error else "no reason is known"
        if error and is_out_of_memory(error) and folder.config.is_file() and halve_batches(folder, error):
            self._tell_of_smaller_batches(number)
            self._resumable.append(number)
            return
        epochs_done = _epochs_done(folder)
        deaths = [*self.stored.trial(number).user_attrs.get(DEATHS, []), epochs_done]
        self.stored.set(number, DEATHS, deaths)
        if (times := deaths.count(epochs_done)) >= MAX_DEATHS:
            self._end(number, "FAIL", f"its process died {times} times in epoch {epochs_done + 1} ({reason})")
        else:
            self.listener.interrupted(number, f"its process died ({reason})")
            self._resumable.append(number)

    def _end(self, number: int, state: State, reason: str | None = None) -> None:
        folder, search = self.paths.trial(number), self.space.search
        self._fill_curve(number)
        config = TrainingConfig.model_validate(read_yaml(folder.config)) if folder.config.is_file() else None
        result = write_result(
            folder,
            number,
            state,
            search.training_objective,
            config.trial.total_epochs if config else 0,
            config.trial.backbone if config else "",
            self.stored.trial(number).params,
            reason,
        )
        value = result["value"]
        if search.objective == "ensemble_gain" and state != "FAIL":
            value, result = self._valued(result)
            write_json(folder.result, result)
        if result["value"] is not None:
            self.stored.set(number, "smoothed_best", result["value"])
            self.stored.set(number, "role", result["role"])
        if result["reason"]:
            self.stored.set(number, "reason", result["reason"])
        self.stored.end(number, result["state"], value)
        _clear(folder)  # not before: until it is told, a dead driver's trial goes on from it
        self.listener.ended(number, result)
        if search.checkpoints_gb is not None:
            for dropped in drop_weights(self.paths, 1e9 * search.checkpoints_gb):
                self.listener.noted(f"search.checkpoints_gb: dropped {dropped}; its predictions are kept")

    def _valued(self, result: dict[str, Any]) -> tuple[float | None, dict[str, Any]]:
        """The trial's worth to the ensemble, and the result with it."""
        try:
            gain = gain_of(self.paths, result["trial_number"])
        except UserError as error:
            reason = f"its worth to the ensemble cannot be told: {'; '.join(error.faults)}"
            return None, {**result, "state": "FAIL", "reason": reason}
        return gain, {**result, "ensemble_gain": gain}

    def _fill_curve(self, number: int) -> None:
        """The folder can be ahead of the study: after a kill, and at the look that ends a trial."""
        objective = self.space.search.objective
        lines = read_metrics(self.paths.trial(number))
        points = [(line["epoch"], value_of(line, objective)) for line in lines if "held_out" in line]
        self.stored.add_points(number, points)

    def _count_epochs(self, number: int, epoch: int) -> None:
        self._epochs[number] = epoch
        if self.has_spent_its_epochs and not self.paths.stop.exists():
            reason = f"the budget of {self.space.search.epochs} epochs (search.epochs)"
            write_text(self.paths.stop, f"stopped by {reason}")
            self.listener.noted(f"stopped by {reason}: running trials end after their batch")

    def _tell_of_smaller_batches(self, number: int) -> None:
        note = self.paths.trial(number).smaller_batches
        if number not in self._told_of and note.is_file():
            self._told_of.add(number)
            self.listener.noted(f"trial {number}: {note.read_text()}")


def _clear(folder: TrialPaths) -> None:
    """Remove what only a training that goes on needs, and what kills have left of writes."""
    folder.resume.unlink(missing_ok=True)
    folder.paused.unlink(missing_ok=True)
    shutil.rmtree(folder.ray, ignore_errors=True)
    for part in folder.root.rglob(".*.part"):
        part.unlink(missing_ok=True)


def _epochs_done(folder: TrialPaths) -> int:
    """The newest epoch of which there is a line, whole or not."""
    lines = read_metrics(folder)
    return lines[-1]["epoch"] if lines else 0


def _first_line(folder: TrialPaths) -> str:
    return folder.error.read_text().partition("\n")[0]
