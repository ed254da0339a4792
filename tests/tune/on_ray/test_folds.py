"""Trials with folds against a stored study, with Tune's calls made by hand."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from raysearch.io import append_line, read_json, read_yaml, write_text
from raysearch.paths import StudyPaths, TrialPaths
from raysearch.predictions import Predictions, read_predictions, write_predictions
from raysearch.space import Space, space_from
from raysearch.train.result import read_metrics
from raysearch.tune.on_ray.fold_scheduler import FoldScheduler
from raysearch.tune.on_ray.searcher import StudySearcher
from raysearch.tune.store.fold_training import FoldTraining
from raysearch.tune.store.study import open_storage
from raysearch.tune.values import METRIC, report_of

EPOCHS = 4
ROLES = ("student", "teacher")


class Listener:
    def __init__(self) -> None:
        self.events: list[tuple[Any, ...]] = []

    def started(self, number: int, config: Any, epochs_done: int) -> None:
        self.events.append(("started", number, epochs_done))

    def reported(self, number: int, report: dict[str, Any]) -> None:
        self.events.append(("reported", number, report["fold"], report["epoch"], report["epochs"]))

    def ended(self, number: int, result: dict[str, Any]) -> None:
        self.events.append((result["state"], number))

    def interrupted(self, number: int, reason: str) -> None:
        self.events.append((reason, number))

    def estimated(self, ensemble: Any) -> None: ...

    def noted(self, text: str) -> None:
        self.events.append((text,))


class Below(FIFOScheduler):
    """Stops a trial that is below ``least`` from its second epoch on, and keeps the results that it received."""

    def __init__(self, least: float) -> None:
        super().__init__()
        self.least, self.received = least, []

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        self.received.append((trial.config["number"], result["epoch"], pytest.approx(result[METRIC])))
        is_weak = result["epoch"] > 1 and result[METRIC] < self.least
        return str(TrialScheduler.STOP if is_weak else TrialScheduler.CONTINUE)


class Tune:
    """Makes the calls of Tune's controller. A Tune trial is one fold."""

    def __init__(self, root: Path, space: Space, concurrency: int = 4, least: float = 0.0) -> None:
        root.mkdir(exist_ok=True)
        self.paths, self.listener, self.inner = StudyPaths(root), Listener(), Below(least)
        self.error: Exception | None = None
        self.study = open_storage(self.paths, space.study, space.search)
        arguments = (self.study, space, self.paths, concurrency, self.listener, lambda trial_id: self.error)
        self.searcher = StudySearcher(*arguments)
        self.scheduler = FoldScheduler(self.inner, self.paths, space.data.folds or 0, space.search.objective)
        self.live: dict[FoldTraining, tuple[str, dict[str, Any]]] = {}

    def start(self) -> FoldTraining | str | None:
        trial_id = f"tune-{len(self.listener.events)}-{len(self.live)}"
        answer = self.searcher.suggest(trial_id)
        if not isinstance(answer, dict):
            return answer
        training = FoldTraining(answer["number"], int(Path(answer["folder"]).name))
        assert Path(answer["folder"]) == training.within(self.paths).root.resolve()
        self.live[training] = trial_id, answer
        return training

    def report(self, training: FoldTraining, value: float, partial: bool = False) -> bool:
        """Report the next evaluation of a fold. Returns whether the fold continues."""
        trial_id, config = self.live[training]
        report = report_of(write_evaluation(training.within(self.paths), training, value, partial), "accuracy", EPOCHS)
        is_last = partial or report["epoch"] == EPOCHS
        decision = self.scheduler.on_trial_result(None, SimpleNamespace(config=config, trial_id=trial_id), report)
        if is_last or decision == TrialScheduler.STOP:
            del self.live[training]
            self.searcher.on_trial_complete(trial_id, report)
            return False
        self.searcher.on_trial_result(trial_id, report)
        return True

    def train(self, training: FoldTraining, *values: float) -> bool:
        return [self.report(training, value) for value in values][-1]

    def fail(self, training: FoldTraining) -> None:
        """A training raises an error."""
        write_text(training.within(self.paths).error, "Diverged: the loss is nan\n\nTraceback ...\n")
        self.die(training)

    def die(self, training: FoldTraining) -> None:
        self.searcher.on_trial_complete(self.live.pop(training)[0], error=True)

    @property
    def trials(self) -> list[optuna.trial.FrozenTrial]:
        return self.study.get_trials()

    def states(self, trainings: list[FoldTraining]) -> list[str]:
        return [read_json(training.within(self.paths).result)["state"] for training in trainings]

    def result(self, number: int) -> dict[str, Any]:
        return read_json(self.paths.trial(number).result)


def make_space(folds: int = 2, **search: Any) -> Space:
    trial = {"epochs": EPOCHS, "method": {"alpha": {"loguniform": [0.01, 1.0]}}}
    values = {"study": "toy", "data": {"folds": folds}, "search": {"trials": 2, **search}, "trial": trial}
    return space_from(values, "toy.yaml")


def write_evaluation(folder: TrialPaths, training: FoldTraining, value: float, partial: bool) -> dict[str, Any]:
    """Write a line of metrics, and predictions for ten images with this accuracy; the teacher has one less right."""
    epoch = len(read_metrics(folder)) + 1
    figures = {"student-final": value, "teacher-final": value - 0.1}
    held_out = {view: {"accuracy": accuracy, "log_loss": 1.0} for view, accuracy in figures.items()}
    line = {"epoch": epoch, "seconds": float(epoch), "lr": 0.1, "train": {"loss": 1.0}, "held_out": held_out}
    line |= {"partial": True} if partial else {}
    folder.metrics.touch()
    append_line(folder.metrics, json.dumps(line))
    for view, accuracy in figures.items():
        labels, right = np.arange(10) % 2, np.arange(10) < round(10 * accuracy)
        probs = np.eye(2, dtype=np.float32)[np.where(right, labels, 1 - labels)]
        ids = tuple(f"{training.fold}/{row}" for row in range(10))
        facts = {"classes": ("0", "1"), "split": "held_out", "fingerprint": "f" * 64, "trial_number": training.number}
        facts |= {"view": view, "weights_sha256": f"{epoch} {view} {training}"}
        write_predictions(folder.predictions(view), Predictions(ids, labels.astype(np.int32), probs, **facts))
    return line


def test_all_folds_of_a_trial_start_before_the_next_trial(tmp_path: Path) -> None:
    tune = Tune(tmp_path / "toy", make_space(), concurrency=3)
    assert [tune.start() for _ in range(4)] == [FoldTraining(0, 0), FoldTraining(0, 1), FoldTraining(1, 0), None]
    tune.train(FoldTraining(0, 1), 0.5, 0.5, 0.5, 0.5)
    assert tune.start() == FoldTraining(1, 1)
    assert tune.start() is None
    for training in list(tune.live):
        tune.train(training, 0.5, 0.5, 0.5, 0.5)
    assert tune.start() == Searcher.FINISHED
    assert [trial.state for trial in tune.trials] == [TrialState.COMPLETE] * 2, "trials are counted, not folds"
    assert [event[1] for event in tune.listener.events if event[0] == "started"] == [0, 1]


def test_folds_differ_only_in_the_fold_that_they_hold_out(tmp_path: Path) -> None:
    tune = Tune(tmp_path / "toy", make_space())
    configs = [read_yaml(training.within(tune.paths).config) for training in (tune.start(), tune.start()) if training]
    trial = read_yaml(tune.paths.trial(0).config)
    assert trial["data"]["fold"] is None
    for fold, config in enumerate(configs):
        assert config == {**trial, "data": {**trial["data"], "fold": fold}}


def test_the_curve_holds_means_and_the_scheduler_receives_each_once(tmp_path: Path) -> None:
    tune = Tune(tmp_path / "toy", make_space(trials=1))
    first, second = tune.start(), tune.start()
    tune.train(first, 0.5, 0.7)
    assert (tune.inner.received, tune.trials[0].intermediate_values) == ([], {})
    tune.train(second, 0.1, 0.3, 0.6)
    assert tune.inner.received == [(0, 1, 0.3), (0, 2, 0.5)]
    tune.report(first, 0.8)
    assert tune.trials[0].intermediate_values == pytest.approx({1: 0.3, 2: 0.5, 3: 0.7})
    values = [line["held_out"]["student-final"]["accuracy"] for line in read_metrics(tune.paths.trial(0))]
    assert values == pytest.approx([0.3, 0.5, 0.7])
    assert tune.listener.events[-1] == ("reported", 0, 0, 6, 2 * EPOCHS)


def test_a_complete_trial_s_value_is_that_of_its_out_of_fold_predictions(tmp_path: Path) -> None:
    tune = Tune(tmp_path / "toy", make_space(trials=1))
    first, second = tune.start(), tune.start()
    tune.train(first, 0.5, 0.7, 0.9, 0.8)
    tune.train(second, 0.1, 0.3, 0.6, 0.4)
    (trial,) = tune.trials
    assert (trial.state, trial.value) == (TrialState.COMPLETE, pytest.approx(0.6))
    assert (trial.user_attrs["smoothed_best"], trial.user_attrs["role"]) == (pytest.approx(0.6), "student")
    result = tune.result(0)
    assert (result["state"], result["epochs_done"], result["epochs"], result["seconds"]) == ("COMPLETE", 8, 8, 8.0)
    stored = read_predictions(tune.paths.trial(0).predictions("student-final"))
    assert stored.sample_ids == tuple(sorted(f"{fold}/{row}" for fold in range(2) for row in range(10)))


def test_the_scheduler_s_decision_applies_to_all_folds(tmp_path: Path) -> None:
    tune = Tune(tmp_path / "toy", make_space(folds=3), least=0.3)
    trainings = [tune.start() for _ in range(3)]
    assert tune.train(trainings[0], 0.2, 0.2, 0.2), "ahead"
    assert tune.train(trainings[1], 0.2, 0.2)
    assert not tune.train(trainings[2], 0.2, 0.2), "completes the second epoch"
    assert not tune.report(trainings[1], 0.2)
    assert tune.trials[0].state == TrialState.RUNNING
    assert tune.trials[0].intermediate_values == pytest.approx({1: 0.2})
    assert not tune.report(trainings[0], 0.2)
    assert tune.inner.received == [(0, 1, 0.2), (0, 2, 0.2)], "once"
    (trial,) = tune.trials
    assert (trial.state, list(trial.intermediate_values)) == (TrialState.PRUNED, [1, 2])
    assert tune.states(trainings) == [
        "COMPLETE",
        "PRUNED",
        "PRUNED",
    ]
    assert (tune.result(0)["reason"], tune.result(0)["value"]) == ("stopped by the scheduler", pytest.approx(0.2))
    assert len(read_predictions(tune.paths.trial(0).predictions("student-final")).labels) == 30


def test_a_complete_fold_stays_complete_when_the_others_are_stopped(tmp_path: Path) -> None:
    tune = Tune(tmp_path / "toy", make_space(), concurrency=1, least=0.5)
    first = tune.start()
    tune.train(first, 0.2, 0.2, 0.9, 0.9)
    second = tune.start()
    assert not tune.train(second, 0.2, 0.2)
    assert tune.states([first, second]) == [
        "COMPLETE",
        "PRUNED",
    ]
    assert (tune.result(0)["state"], tune.result(0)["value"]) == ("PRUNED", pytest.approx(0.55))


def test_a_failed_fold_fails_the_trial_and_stops_the_others(tmp_path: Path) -> None:
    tune = Tune(tmp_path / "toy", make_space(folds=3, max_failures=1), concurrency=2)
    first, second = tune.start(), tune.start()
    tune.report(second, 0.5)
    tune.fail(first)
    assert tune.trials[0].state == TrialState.RUNNING
    third = tune.start()
    assert third == FoldTraining(1, 0), "the third fold is not begun"
    assert not tune.report(second, 0.5)
    (failed, _) = tune.trials
    assert failed.state == TrialState.FAIL
    assert failed.user_attrs["reason"] == "fold 0: Diverged: the loss is nan"
    assert tune.paths.trial(0).error.read_text().startswith("fold 0: Diverged: the loss is nan\n\nTraceback")
    assert read_json(second.within(tune.paths).result)["reason"] == "fold 0 failed"
    assert not tune.searcher.has_failed_too_often
    assert tune.report(third, 0.5)


def test_an_interrupted_trial_resumes_each_fold(tmp_path: Path) -> None:
    space = make_space(folds=3, trials=1)
    before = Tune(tmp_path / "toy", space, concurrency=2)
    first, second = before.start(), before.start()
    before.train(first, 0.9, 0.9, 0.9, 0.9)
    before.report(second, 0.5)
    kept = first.within(before.paths).result.read_bytes()
    after = Tune(tmp_path / "toy", space)
    assert [after.start(), after.start(), after.start()] == [second, FoldTraining(0, 2), None]
    assert after.listener.events == [("started", 0, 5)]
    after.train(second, 0.5, 0.5, 0.5)
    after.train(FoldTraining(0, 2), 0.4, 0.4, 0.4, 0.4)
    (trial,) = after.trials
    assert (trial.state, trial.value) == (TrialState.COMPLETE, pytest.approx(0.6))
    assert first.within(after.paths).result.read_bytes() == kept
    assert after.start() == Searcher.FINISHED


def test_folds_that_had_all_ended_when_the_driver_died_are_joined(tmp_path: Path) -> None:
    space = make_space(trials=1)
    before = Tune(tmp_path / "toy", space)
    for training in (before.start(), before.start()):
        before.train(training, 0.5, 0.5, 0.5)
    before.train(FoldTraining(0, 0), 0.5)
    before.searcher._end_trial_of_folds = lambda number: None  # killed just before
    before.train(FoldTraining(0, 1), 0.5)
    assert before.trials[0].state == TrialState.RUNNING
    after = Tune(tmp_path / "toy", space)
    assert (after.trials[0].state, after.trials[0].value) == (TrialState.COMPLETE, pytest.approx(0.5))


def test_a_joined_trial_that_the_study_lacks_is_stored_unchanged(tmp_path: Path) -> None:
    space = make_space(trials=1)
    before = Tune(tmp_path / "toy", space)
    trainings = [before.start(), before.start()]
    before.searcher.stored.end = lambda *arguments: None  # killed just before
    for training in trainings:
        before.train(training, 0.5, 0.7, 0.9, 0.8)
    trial = before.paths.trial(0)
    files = [trial.result, trial.metrics, trial.predictions("student-final")]
    written = [path.read_bytes() for path in files]
    after = Tune(tmp_path / "toy", space)
    assert after.trials[0].state == TrialState.COMPLETE
    assert [path.read_bytes() for path in files] == written


@pytest.mark.parametrize("ending", ["FAIL", "PRUNED"])
def test_a_fold_that_ended_when_the_driver_died_ends_its_trial_at_the_next_start(tmp_path: Path, ending: str) -> None:
    space = make_space()
    before = Tune(tmp_path / "toy", space, least=0.3)
    first, second = before.start(), before.start()
    before.report(first, 0.2)
    if ending == "FAIL":
        write_text(second.within(before.paths).error, "Diverged: the loss is nan\n\nTraceback ...\n")
    else:
        before.report(first, 0.2)
        assert not before.train(second, 0.2, 0.2)
    after = Tune(tmp_path / "toy", space)
    assert after.trials[0].state == TrialState[ending]
    assert after.start() == FoldTraining(1, 0)


def test_a_stopped_trial_ends_if_each_fold_has_predictions(tmp_path: Path) -> None:
    tune = Tune(tmp_path / "toy", make_space())
    first, second = tune.start(), tune.start()
    tune.train(first, 0.8, 0.8, 0.8, 0.8)
    write_text(tune.paths.stop, "stopped by SIGINT")
    tune.report(second, 0.4, partial=True)
    assert (tune.result(0)["state"], tune.result(0)["reason"]) == ("PRUNED", "stopped by SIGINT")
    assert tune.result(0)["value"] == pytest.approx(0.6)
    assert tune.start() == Searcher.FINISHED


def test_a_trial_stopped_before_all_folds_started_resumes_at_the_next_start(tmp_path: Path) -> None:
    space = make_space(folds=3, trials=1)
    before = Tune(tmp_path / "toy", space, concurrency=2)
    first, second = before.start(), before.start()
    write_text(before.paths.stop, "stopped by SIGINT")
    before.report(first, 0.8, partial=True)
    before.report(second, 0.8, partial=True)
    before.searcher.finish()
    assert before.trials[0].state == TrialState.RUNNING
    before.paths.stop.unlink()
    after = Tune(tmp_path / "toy", space)
    assert [after.start() for _ in range(3)] == [first, second, FoldTraining(0, 2)]


def test_a_fold_whose_process_died_restarts(tmp_path: Path) -> None:
    tune = Tune(tmp_path / "toy", make_space(trials=1))
    first, second = tune.start(), tune.start()
    tune.error = RuntimeError("the node is gone")
    tune.report(first, 0.5)
    tune.die(first)
    assert ("the process of fold 0 died (the node is gone)", 0) in tune.listener.events
    assert tune.start() == first
    tune.train(second, 0.5, 0.5, 0.5, 0.5)
    tune.train(first, 0.5, 0.5, 0.5)
    assert tune.trials[0].state == TrialState.COMPLETE


def test_repeated_deaths_of_a_fold_fail_the_trial(tmp_path: Path) -> None:
    tune = Tune(tmp_path / "toy", make_space(trials=1))
    tune.start()
    second = tune.start()
    tune.error = RuntimeError("killed")
    for _ in range(2):
        tune.die(second)
        assert tune.start() == second
    tune.die(second)
    assert not tune.report(FoldTraining(0, 0), 0.5)
    assert tune.trials[0].user_attrs["reason"] == "fold 1: its process died 3 times in epoch 1 (killed)"


def test_a_fold_that_died_does_not_restart_when_the_others_are_stopped(tmp_path: Path) -> None:
    tune = Tune(tmp_path / "toy", make_space(trials=9), concurrency=2, least=0.3)
    first, second = tune.start(), tune.start()
    tune.report(first, 0.2)
    tune.report(second, 0.2)
    write_evaluation(second.within(tune.paths), second, 0.2, False)  # and died before it reported
    tune.die(second)
    assert not tune.report(first, 0.2)
    assert tune.result(0)["state"] == "PRUNED"
    assert tune.start() == FoldTraining(1, 0)


def test_the_epochs_of_all_trainings_are_counted(tmp_path: Path) -> None:
    space = make_space(trials=9, epochs=6)
    tune = Tune(tmp_path / "toy", space)
    first, second = tune.start(), tune.start()
    tune.train(first, 0.5, 0.5, 0.5, 0.5)
    tune.report(second, 0.5)
    assert not tune.paths.stop.exists()
    tune.report(second, 0.5)
    assert tune.paths.stop.read_text() == "stopped by the budget of 6 epochs (search.epochs)"
    tune.report(second, 0.5, partial=True)
    assert tune.trials[0].state == TrialState.PRUNED
    tune.paths.stop.unlink()
    assert Tune(tmp_path / "toy", space).start() == Searcher.FINISHED


def test_predictions_that_cannot_be_joined_fail_their_trial_only(tmp_path: Path) -> None:
    tune = Tune(tmp_path / "toy", make_space())
    first, second = tune.start(), tune.start()
    tune.train(first, 0.5, 0.5, 0.5, 0.5)
    for role in ROLES:
        first.within(tune.paths).predictions(f"{role}-final").write_bytes(b"damaged")
    tune.train(second, 0.5, 0.5, 0.5, 0.5)
    assert tune.trials[0].state == TrialState.FAIL
    assert tune.result(0)["reason"].startswith("the predictions of its folds cannot be joined: ")
    assert tune.start() == FoldTraining(1, 0)
