"""A Ray Tune searcher whose whole state is a stored Optuna study and the trials' folders.

Nothing is pickled between runs: a new process that opens the same study goes on where the last one, even a
killed one, left off. Ray's own `OptunaSearch` tells a stopped trial COMPLETE, enqueues seed points at every
start and leaves killed trials RUNNING; here stopped is PRUNED, an error is FAIL with its reason, and what a dead
process left RUNNING goes on from its checkpoint or is asked again.
"""

from typing import Any, Protocol

import optuna
from optuna.trial import TrialState
from ray.tune.search import Searcher

from raysearch.config import TrainingConfig
from raysearch.errors import SpaceError, StudyError
from raysearch.io import read_yaml, write_yaml
from raysearch.paths import StudyPaths
from raysearch.space import Ablation, Space
from raysearch.train.result import State, read_metrics, read_result, write_result
from raysearch.tune.progress import BY_SCHEDULER
from raysearch.tune.trial import METRIC, value_of

UNCOUNTED = "uncounted"
"""Marks a trial that died with its driver before its first checkpoint; the same parameters were asked again."""
FIXED_ATTRS = ("first", "fixed", "rows")
"""What a trial that was not drawn is: its place in `search.first` or an ablation's rows, and its fixed values."""


class Listener(Protocol):
    """Hears what becomes of the trials."""

    def started(self, number: int, config: TrainingConfig, epochs_done: int) -> None: ...

    def reported(self, number: int, report: dict[str, Any]) -> None: ...

    def ended(self, number: int, result: dict[str, Any]) -> None: ...


class StudySearcher(Searcher):
    """Counts a trial once it ends COMPLETE or PRUNED, until ``space.search.trials`` have; a FAIL is replaced."""

    def __init__(
        self, study: optuna.Study, space: Space, paths: StudyPaths, concurrency: int, listener: Listener
    ) -> None:
        maximize = space.search.objective == "accuracy"
        super().__init__(metric=METRIC, mode="max" if maximize else "min")
        self.study, self.space, self.paths = study, space, paths
        self.concurrency, self.listener = concurrency, listener
        self._numbers: dict[str, int] = {}
        self._resumable: list[int] = []
        self._recover()
        self._failed_before = self.failed
        self._enqueue_first()

    # What the last process left.

    def _recover(self) -> None:
        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            folder = self.paths.trial(trial.number)
            lines = read_metrics(folder)
            # The folder can be ahead of the study: its own curve fills the gap.
            for line in lines:
                if "held_out" in line:
                    self._store(trial.number, line["epoch"], value_of(line, self.space.search.objective))
            result = read_result(folder)
            if result:  # written, but not told
                self._end(trial.number, result["state"], result["reason"])
            elif lines and lines[-1].get("partial"):
                self._end(trial.number, "PRUNED", "stopped, then its driver died")
            elif folder.resume.is_file():
                self._resumable.append(trial.number)
            else:
                self._ask_again(trial)

    def _ask_again(self, trial: optuna.trial.FrozenTrial) -> None:
        attrs = {key: value for key, value in trial.user_attrs.items() if key in FIXED_ATTRS}
        self.study.enqueue_trial(trial.params, user_attrs=attrs)
        self._set(trial.number, UNCOUNTED, True)
        self._end(trial.number, "FAIL", "its driver died before the first checkpoint; asked again")

    def _enqueue_first(self) -> None:
        if self.space.ablation:
            return self._enqueue_rows(self.space.ablation)
        known = {trial.user_attrs.get("first") for trial in self.study.get_trials(deepcopy=False)}
        for index, fixed in enumerate(self.space.search.first):
            if index not in known:
                params = self.space.trial.params_of(fixed)
                self.study.enqueue_trial(params, user_attrs={"first": index, "fixed": fixed})

    def _enqueue_rows(self, ablation: Ablation) -> None:
        """Every training of the ablation that is neither whole nor on its way: failed and cut-off ones once more.

        Those that an earlier start asked for and this one does not are no longer waited for.
        """
        wanted = [training.fixed for training in ablation.trainings]
        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            if trial.user_attrs.get("fixed") not in wanted:
                self._set(trial.number, UNCOUNTED, True)
                self._set(trial.number, "reason", "no longer asked for")
                self.study._storage.set_trial_state_values(self._id(trial.number), TrialState.FAIL)
        states = (TrialState.COMPLETE, TrialState.RUNNING, TrialState.WAITING)
        known = [trial.user_attrs.get("fixed") for trial in self.study.get_trials(deepcopy=False, states=states)]
        for training in ablation.trainings:
            if training.fixed not in known:
                self.study.enqueue_trial({}, user_attrs={"fixed": training.fixed, "rows": list(training.rows)})

    # How far the search is.

    @property
    def counted(self) -> int:
        """Trials that ended COMPLETE or PRUNED."""
        return len(self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED)))

    @property
    def failed(self) -> int:
        """Trials that ended FAIL, those aside that were asked again."""
        trials = self.study.get_trials(deepcopy=False, states=(TrialState.FAIL,))
        return sum(UNCOUNTED not in trial.user_attrs for trial in trials)

    @property
    def left(self) -> int:
        """Trials that are still to be started; of an ablation those that are enqueued, and no others."""
        if self.space.ablation:
            waiting = self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
            return len(waiting) + len(self._resumable)
        return self.space.search.trials - self.counted - len(self._numbers)

    @property
    def has_failed_too_often(self) -> bool:
        """Of the failures since this start: whoever resumes has mended the cause."""
        return self.failed - self._failed_before > self.space.search.max_failures

    # Tune's calls.

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next trial; None while none may start; FINISHED when no more will."""
        live = len(self._numbers)
        if self.paths.stop.exists() or self.has_failed_too_often:
            return Searcher.FINISHED
        if self.left <= 0 or live >= self.concurrency:
            return None if live else Searcher.FINISHED
        started = self._resumed() if self._resumable else self._asked()
        if started is None:
            return None
        number, config = started
        self._numbers[trial_id] = number
        self.listener.started(number, config, len(read_metrics(self.paths.trial(number))))
        return {
            "number": number,
            "folder": str(self.paths.trial(number).root.resolve()),
            "stop": str(self.paths.stop.resolve()),
            "threads": self.space.resources.cpus_per_worker,
        }

    def _resumed(self) -> tuple[int, TrainingConfig]:
        number = self._resumable.pop(0)
        return number, TrainingConfig.model_validate(read_yaml(self.paths.trial(number).config))

    def _asked(self) -> tuple[int, TrainingConfig] | None:
        """A new trial; None when what was drawn cannot be trained together: that trial is a FAIL."""
        trial = self.study.ask()
        if self.paths.trial(trial.number).root.exists():
            raise StudyError(
                f"{self.paths.trial(trial.number).root}: stands in the way of a new trial; {self.paths.database} does "
                "not know of it, so it is not the database of this folder's trials"
            )
        fixed = trial.user_attrs.get("fixed", {})
        try:
            config = self.space.trial.suggest(trial, fixed)
        except SpaceError as error:
            self._end(trial.number, "FAIL", "; ".join(error.faults))
            return None
        if "seed" not in fixed:  # members of an ensemble gain from differing, so each trial has a seed of its own
            config = config.model_copy(update={"seed": config.seed + trial.number})
        training = TrainingConfig(data=self.space.data, objective=self.space.search.objective, trial=config)
        write_yaml(self.paths.trial(trial.number).config, training.model_dump())
        return trial.number, training

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """One look at the held-out split."""
        number = self._numbers[trial_id]
        self._store(number, result["epoch"], result[METRIC])
        self.listener.reported(number, result)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """The trial's end: all epochs done is COMPLETE, fewer is PRUNED, an error is FAIL."""
        number = self._numbers.pop(trial_id)
        if error or not result:
            told = self.paths.trial(number).error
            reason = told.read_text().partition("\n")[0] if told.is_file() else ""
            return self._end(number, "FAIL", reason or "the trial's process died")
        # Tune leaves the stopping result out of on_trial_result.
        self._store(number, result["epoch"], result[METRIC])
        if result["is_whole"] and result["epoch"] >= result["epochs"]:
            return self._end(number, "COMPLETE")
        stop = self.paths.stop
        return self._end(number, "PRUNED", stop.read_text() if stop.is_file() else BY_SCHEDULER)

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: the study is the state."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore."""

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles its settings for Tuner.restore, which is not used here

    # Storage.

    def _end(self, number: int, state: State, reason: str | None = None) -> None:
        trial = self.study.get_trials(deepcopy=False)[number]
        folder = self.paths.trial(number)
        config = TrainingConfig.model_validate(read_yaml(folder.config)) if folder.config.is_file() else None
        result = write_result(
            folder,
            number,
            state,
            self.space.search.objective,
            config.trial.total_epochs if config else 0,
            config.trial.backbone if config else "",
            trial.params,
            reason,
        )
        if result["value"] is not None:
            self._set(number, "smoothed_best", result["value"])
            self._set(number, "role", result["role"])
        if reason:
            self._set(number, "reason", reason)
        if state == "COMPLETE":
            self.study.tell(number, result["value"])
        else:
            self.study.tell(number, state=TrialState[state])
        folder.resume.unlink(missing_ok=True)  # not before: until it is told, a dead driver's trial goes on from it
        self.listener.ended(number, result)

    def _store(self, number: int, epoch: int, value: float) -> None:
        # Not Trial.report: it drops a second value for an epoch, which a resumed trial may send.
        self.study._storage.set_trial_intermediate_value(self._id(number), epoch, value)

    def _set(self, number: int, key: str, value: Any) -> None:
        self.study._storage.set_trial_user_attr(self._id(number), key, value)

    def _id(self, number: int) -> int:
        return self.study._storage.get_trial_id_from_study_id_trial_number(self.study._study_id, number)
