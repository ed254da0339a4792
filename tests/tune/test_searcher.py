"""The searcher against a stored study, with Tune's calls made by hand."""

import json
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState
from ray.exceptions import OutOfMemoryError
from ray.tune.search import Searcher

from raysearch.errors import StudyError
from raysearch.io import read_json, read_yaml
from raysearch.paths import StudyPaths, TrialPaths
from raysearch.space import Space, space_from
from raysearch.train.result import write_result
from raysearch.tune.searcher import StudySearcher
from raysearch.tune.study import open_storage
from raysearch.tune.trial import report_of


class Listener:
    def __init__(self) -> None:
        self.events: list[tuple[str, int]] = []

    def started(self, number: int, config: Any, epochs_done: int) -> None:
        self.events.append(("started", number))

    def reported(self, number: int, report: dict[str, Any]) -> None:
        self.events.append(("reported", number))

    def ended(self, number: int, result: dict[str, Any]) -> None:
        self.events.append((result["state"], number))

    def interrupted(self, number: int, reason: str) -> None:
        self.events.append((reason, number))

    def estimated(self, ensemble: Any) -> None: ...

    def noted(self, text: str) -> None:
        self.events.append((text, -1))


def make_space(**search: Any) -> Space:
    trial = {"epochs": 4, "method": {"alpha": {"loguniform": [0.01, 1.0]}}}
    return space_from({"study": "toy", "search": {"trials": 3, **search}, "trial": trial}, "toy.yaml")


def make_searcher(root: Path, space: Space, concurrency: int = 2, error: Exception | None = None) -> StudySearcher:
    """``error``: what Tune knows of every trial whose process died."""
    root.mkdir(exist_ok=True)
    paths = StudyPaths(root)
    stored = open_storage(paths, space.study, space.search)
    return StudySearcher(stored, space, paths, concurrency, Listener(), lambda trial_id: error)


def fail(searcher: StudySearcher, trial_id: str, number: int) -> None:
    """What a trial does whose training raised an error."""
    searcher.paths.trial(number).error.write_text("Diverged: the loss is nan\n\nTraceback ...\n")
    searcher.on_trial_complete(trial_id, error=True)


def stored(root: Path, space: Space) -> list[optuna.trial.FrozenTrial]:
    return open_storage(StudyPaths(root), space.study, space.search).trials


def line(epoch: int, student: float, teacher: float) -> dict[str, Any]:
    views = {"student-final": student, "teacher-final": teacher}
    figures = {view: {"accuracy": value, "log_loss": 1.0} for view, value in views.items()}
    return {"epoch": epoch, "seconds": float(epoch), "lr": 0.1, "train": {"loss": 1.0}, "held_out": figures}


def look(searcher: StudySearcher, trial_id: str, number: int, epoch: int, value: float, is_last: bool = False) -> None:
    """What a trial does at a look: its file first, then Tune's call."""
    written = line(epoch, value, value - 0.1)
    folder = searcher.paths.trial(number)
    with folder.metrics.open("a") as file:
        file.write(json.dumps(written) + "\n")
    result = report_of(written, "accuracy", 4)
    if is_last:
        searcher.on_trial_complete(trial_id, result)
    else:
        searcher.on_trial_result(trial_id, result)


def test_a_trial_that_did_all_its_epochs_is_complete_with_its_smoothed_best(tmp_path: Path) -> None:
    space = make_space()
    searcher = make_searcher(tmp_path / "toy", space)
    assert isinstance(searcher.suggest("a"), dict)
    for epoch, value in enumerate([0.3, 0.6, 0.9], start=1):
        look(searcher, "a", 0, epoch, value)
    look(searcher, "a", 0, 4, 0.3, is_last=True)
    (trial,) = stored(tmp_path / "toy", space)
    assert trial.state == TrialState.COMPLETE
    assert trial.value == pytest.approx((0.3 + 0.6 + 0.9) / 3)
    assert trial.intermediate_values == {1: 0.3, 2: 0.6, 3: 0.9, 4: 0.3}
    assert read_json(searcher.paths.trial(0).result)["state"] == "COMPLETE"


def test_a_stopped_trial_is_pruned_and_keeps_its_whole_curve(tmp_path: Path) -> None:
    space = make_space()
    searcher = make_searcher(tmp_path / "toy", space)
    searcher.suggest("a")
    look(searcher, "a", 0, 1, 0.5)
    look(searcher, "a", 0, 2, 0.7, is_last=True)
    (trial,) = stored(tmp_path / "toy", space)
    assert trial.state == TrialState.PRUNED
    assert trial.intermediate_values == {1: 0.5, 2: 0.7}
    assert trial.user_attrs["smoothed_best"] == pytest.approx(0.6)


def test_a_trial_cut_off_within_its_last_epoch_is_not_complete(tmp_path: Path) -> None:
    space = make_space()
    searcher = make_searcher(tmp_path / "toy", space)
    searcher.suggest("a")
    partial = {**line(4, 0.5, 0.5), "partial": True}
    searcher.paths.trial(0).metrics.write_text(json.dumps(partial) + "\n")
    searcher.on_trial_complete("a", report_of(partial, "accuracy", 4))
    assert stored(tmp_path / "toy", space)[0].state == TrialState.PRUNED


def test_a_failed_trial_has_its_reason_and_is_replaced(tmp_path: Path) -> None:
    space = make_space(trials=1)
    searcher = make_searcher(tmp_path / "toy", space)
    searcher.suggest("a")
    fail(searcher, "a", 0)
    assert isinstance(searcher.suggest("b"), dict)
    look(searcher, "b", 1, 4, 0.5, is_last=True)
    assert searcher.suggest("c") == Searcher.FINISHED
    failed, replacement = stored(tmp_path / "toy", space)
    assert failed.state == TrialState.FAIL
    assert failed.user_attrs["reason"] == "Diverged: the loss is nan"
    assert replacement.state == TrialState.COMPLETE
    assert read_json(searcher.paths.trial(0).result)["reason"] == "Diverged: the loss is nan"


def test_a_trial_whose_process_died_goes_on_under_its_number(tmp_path: Path) -> None:
    space = make_space(trials=1)
    searcher = make_searcher(tmp_path / "toy", space, error=RuntimeError("the node\nis gone"))
    first = searcher.suggest("a")
    searcher.on_trial_complete("a", error=True)
    assert stored(tmp_path / "toy", space)[0].state == TrialState.RUNNING
    assert searcher.suggest("b") == first
    look(searcher, "b", 0, 4, 0.5, is_last=True)
    assert searcher.suggest("c") == Searcher.FINISHED
    (trial,) = stored(tmp_path / "toy", space)
    assert trial.state == TrialState.COMPLETE
    assert ("its process died (the node is gone)", 0) in searcher.listener.events


def test_a_process_that_dies_again_and_again_in_an_epoch_is_a_failure(tmp_path: Path) -> None:
    space = make_space()
    searcher = make_searcher(tmp_path / "toy", space, concurrency=1, error=RuntimeError("killed"))
    for attempt in range(4):
        assert isinstance(searcher.suggest(str(attempt)), dict)
        if attempt == 1:  # an epoch further: the deaths before it no longer count
            look(searcher, str(attempt), 0, 1, 0.5)
        searcher.on_trial_complete(str(attempt), error=True)
    (trial,) = stored(tmp_path / "toy", space)
    assert trial.state == TrialState.FAIL
    assert trial.user_attrs["reason"] == "its process died 3 times in epoch 2 (killed)"


def test_deaths_are_counted_over_restarts(tmp_path: Path) -> None:
    space = make_space()
    for _ in range(3):
        searcher = make_searcher(tmp_path / "toy", space, concurrency=1)
        searcher.suggest("a")
        searcher.on_trial_complete("a", error=True)
    (trial,) = stored(tmp_path / "toy", space)
    assert trial.user_attrs["reason"] == "its process died 3 times in epoch 1 (no reason is known)"


def test_a_process_that_ray_ended_for_want_of_memory_goes_on_with_smaller_batches(tmp_path: Path) -> None:
    space = make_space()
    searcher = make_searcher(tmp_path / "toy", space, error=OutOfMemoryError("the node was low on memory"))
    searcher.suggest("a")
    searcher.on_trial_complete("a", error=True)
    searcher.suggest("b")
    trial = read_yaml(searcher.paths.trial(0).config)["trial"]
    assert (trial["batch_size"], trial["accumulation"]) == (25, 2)
    look(searcher, "b", 0, 4, 0.5, is_last=True)
    (note,) = read_json(searcher.paths.trial(0).result)["notes"]
    assert note.startswith("out of memory in epoch 1: since then trial.batch_size 50 -> 25")
    assert (f"trial 0: {note}", -1) in searcher.listener.events


def test_it_gives_up_after_max_failures(tmp_path: Path) -> None:
    searcher = make_searcher(tmp_path / "toy", make_space(max_failures=1), concurrency=1)
    for number, trial_id in enumerate(("a", "b")):
        assert isinstance(searcher.suggest(trial_id), dict)
        fail(searcher, trial_id, number)
    assert searcher.has_failed_too_often
    assert searcher.suggest("c") == Searcher.FINISHED


def test_no_more_trials_run_than_concurrency_and_target_allow(tmp_path: Path) -> None:
    searcher = make_searcher(tmp_path / "toy", make_space(trials=3), concurrency=2)
    assert isinstance(searcher.suggest("a"), dict)
    assert isinstance(searcher.suggest("b"), dict)
    assert searcher.suggest("c") is None
    look(searcher, "a", 0, 4, 0.5, is_last=True)
    assert isinstance(searcher.suggest("c"), dict)
    look(searcher, "b", 1, 4, 0.5, is_last=True)
    assert searcher.suggest("d") is None, "a FAIL of the last live trial would have to be replaced"
    look(searcher, "c", 2, 4, 0.5, is_last=True)
    assert searcher.suggest("d") == Searcher.FINISHED


def test_first_trials_are_asked_once_over_any_number_of_restarts(tmp_path: Path) -> None:
    space = make_space(trials=4, first=[{"method": {"alpha": 0.01}}, {"method": {"alpha": 0}}])
    for restart in range(3):
        searcher = make_searcher(tmp_path / "toy", space, concurrency=1)
        if restart < 2:
            searcher.suggest("a")
            look(searcher, "a", restart, 4, 0.5, is_last=True)
    alphas = [read_yaml(folder.config)["trial"]["method"]["alpha"] for _, folder in searcher.paths.trials()]
    assert alphas == [0.01, 0]
    trials = stored(tmp_path / "toy", space)
    assert [trial.user_attrs.get("first") for trial in trials] == [0, 1]
    assert trials[0].params == {"method.alpha": 0.01}
    assert trials[1].params == {}, "0 lies outside the range, so the study is not told of it"


def test_a_trial_left_running_with_a_checkpoint_goes_on_under_its_number(tmp_path: Path) -> None:
    space = make_space()
    first = make_searcher(tmp_path / "toy", space)
    first.suggest("a")
    config = read_yaml(first.paths.trial(0).config)
    folder = first.paths.trial(0)
    folder.metrics.write_text(json.dumps(line(1, 0.4, 0.3)) + "\n" + json.dumps(line(2, 0.5, 0.3)) + "\n")
    folder.resume.parent.mkdir()
    folder.resume.write_bytes(b"a checkpoint")

    second = make_searcher(tmp_path / "toy", space)
    suggested = second.suggest("b")
    assert isinstance(suggested, dict)
    assert TrialPaths(Path(suggested["folder"])).root.name == "0000"
    assert read_yaml(folder.config) == config
    assert stored(tmp_path / "toy", space)[0].intermediate_values == {1: 0.4, 2: 0.5}
    look(second, "b", 0, 4, 0.6, is_last=True)
    assert stored(tmp_path / "toy", space)[0].state == TrialState.COMPLETE


def test_a_trial_left_running_without_a_checkpoint_begins_again_under_its_number(tmp_path: Path) -> None:
    space = make_space(trials=1, max_failures=0, first=[{"method": {"alpha": 0.5}}])
    before = make_searcher(tmp_path / "toy", space).suggest("a")
    second = make_searcher(tmp_path / "toy", space)
    assert second.suggest("b") == before
    look(second, "b", 0, 4, 0.5, is_last=True)
    (trial,) = stored(tmp_path / "toy", space)
    assert (trial.state, trial.params) == (TrialState.COMPLETE, {"method.alpha": 0.5})
    assert second.suggest("c") == Searcher.FINISHED


@pytest.mark.parametrize("first", [[], [{"method": {"alpha": 0.5}}]])
def test_a_trial_whose_driver_died_while_it_was_drawn_is_drawn_to_its_end(tmp_path: Path, first: list[Any]) -> None:
    space = make_space(trials=1, first=first)
    before = make_searcher(tmp_path / "toy", space)
    number = before.stored.study.ask().number  # and then nothing was written
    second = make_searcher(tmp_path / "toy", space)
    suggested = second.suggest("b")
    assert isinstance(suggested, dict)
    assert suggested["number"] == number == 0
    drawn = stored(tmp_path / "toy", space)[0].params
    assert read_yaml(second.paths.trial(0).config)["trial"]["method"]["alpha"] == drawn["method.alpha"]
    assert not first or drawn["method.alpha"] == 0.5


def test_a_training_that_failed_as_its_driver_died_is_a_failure(tmp_path: Path) -> None:
    space = make_space()
    make_searcher(tmp_path / "toy", space).suggest("a")
    StudyPaths(tmp_path / "toy").trial(0).error.write_text("Diverged: the loss is nan\n\nTraceback ...\n")
    make_searcher(tmp_path / "toy", space)
    (trial,) = stored(tmp_path / "toy", space)
    assert (trial.state, trial.user_attrs["reason"]) == (TrialState.FAIL, "Diverged: the loss is nan")


def test_a_trial_cut_off_from_outside_stays_running_for_the_next_start(tmp_path: Path) -> None:
    space = make_space()
    searcher = make_searcher(tmp_path / "toy", space)
    searcher.suggest("a")
    searcher.on_trial_complete("a")
    assert stored(tmp_path / "toy", space)[0].state == TrialState.RUNNING


def test_a_curve_that_the_folder_is_ahead_with_is_stored_at_the_end(tmp_path: Path) -> None:
    space = make_space()
    searcher = make_searcher(tmp_path / "toy", space)
    searcher.suggest("a")
    unheard = json.dumps(line(1, 0.4, 0.3)) + "\n"
    searcher.paths.trial(0).metrics.write_text(unheard)
    look(searcher, "a", 0, 2, 0.6, is_last=True)
    assert stored(tmp_path / "toy", space)[0].intermediate_values == {1: 0.4, 2: 0.6}


def test_the_epochs_of_all_trials_end_the_search_and_count_over_restarts(tmp_path: Path) -> None:
    space = make_space(trials=9, epochs=5)
    searcher = make_searcher(tmp_path / "toy", space)
    searcher.suggest("a")
    look(searcher, "a", 0, 4, 0.5, is_last=True)
    searcher.suggest("b")
    assert not searcher.paths.stop.exists()
    look(searcher, "b", 1, 1, 0.5)
    assert searcher.paths.stop.read_text() == "stopped by the budget of 5 epochs (search.epochs)"
    searcher.on_trial_complete("b", report_of(line(1, 0.5, 0.4), "accuracy", 4))
    assert searcher.suggest("c") == Searcher.FINISHED
    assert read_json(searcher.paths.trial(1).result)["state"] == "PRUNED"
    searcher.paths.stop.unlink()
    assert make_searcher(tmp_path / "toy", space).suggest("a") == Searcher.FINISHED
    raised = make_space(trials=9, epochs=20)
    assert isinstance(make_searcher(tmp_path / "toy", raised).suggest("a"), dict)


def test_a_resumed_search_does_not_draw_again_what_it_drew(tmp_path: Path) -> None:
    space = make_space(trials=4)
    for restart in range(2):
        searcher = make_searcher(tmp_path / "toy", space)
        for trial_id in ("a", "b"):
            searcher.suggest(trial_id)
        for number, trial_id in enumerate(("a", "b"), start=2 * restart):
            look(searcher, trial_id, number, 4, 0.5, is_last=True)
    alphas = {trial.params["method.alpha"] for trial in stored(tmp_path / "toy", space)}
    assert len(alphas) == 4


def test_failures_before_a_restart_do_not_count_again(tmp_path: Path) -> None:
    space = make_space(max_failures=0)
    first = make_searcher(tmp_path / "toy", space)
    first.suggest("a")
    fail(first, "a", 0)
    assert first.has_failed_too_often
    second = make_searcher(tmp_path / "toy", space)
    assert not second.has_failed_too_often
    assert isinstance(second.suggest("b"), dict)


def test_a_trial_whose_result_was_written_but_not_told_is_told_not_trained_again(tmp_path: Path) -> None:
    space = make_space()
    first = make_searcher(tmp_path / "toy", space)
    first.suggest("a")
    folder = first.paths.trial(0)
    folder.metrics.write_text(json.dumps(line(4, 0.4, 0.3)) + "\n")
    write_result(folder, 0, "COMPLETE", "accuracy", 4, "wrn_16_2", {})
    make_searcher(tmp_path / "toy", space)
    (trial,) = stored(tmp_path / "toy", space)
    assert (trial.state, trial.value) == (TrialState.COMPLETE, 0.4)


def test_a_trial_stopped_within_an_epoch_whose_driver_died_is_pruned_as_it_stands(tmp_path: Path) -> None:
    space = make_space()
    first = make_searcher(tmp_path / "toy", space)
    first.suggest("a")
    folder = first.paths.trial(0)
    folder.metrics.write_text(json.dumps({**line(1, 0.4, 0.3), "partial": True}) + "\n")
    make_searcher(tmp_path / "toy", space)
    assert stored(tmp_path / "toy", space)[0].state == TrialState.PRUNED
    assert read_json(folder.result)["value"] == 0.4


def test_values_that_do_not_go_together_fail_that_trial_only(tmp_path: Path) -> None:
    sizes, paddings = {"choice": [32, 8]}, {"choice": [0, 10]}
    trial = {"image_size": sizes, "augment": {"crop_padding": paddings}}
    search = {"trials": 40, "max_failures": 40, "sampler": "random"}
    searcher = make_searcher(
        tmp_path / "toy", space_from({"study": "toy", "search": search, "trial": trial}, "toy"), 99
    )
    answers = [searcher.suggest(str(i)) for i in range(20)]
    assert {type(answer) for answer in answers} == {dict, type(None)}
    failed = [t for t in searcher.stored.trials() if t.state == TrialState.FAIL]
    assert len(failed) == answers.count(None)
    for trial in failed:
        assert trial.params == {"image_size": 8, "augment.crop_padding": 10}
        assert "crop_padding < image_size must hold, got 10 and 8" in trial.user_attrs["reason"]


def test_a_pruned_trial_says_who_stopped_it(tmp_path: Path) -> None:
    searcher = make_searcher(tmp_path / "toy", make_space())
    for number, trial_id in enumerate(("a", "b")):
        searcher.suggest(trial_id)
        if number == 1:
            searcher.paths.stop.write_text("stopped by SIGINT")
        look(searcher, trial_id, number, 1, 0.5, is_last=True)
    reasons = [read_json(folder.result)["reason"] for _, folder in searcher.paths.trials()]
    assert reasons == ["stopped by the scheduler", "stopped by SIGINT"]


def test_a_trial_folder_that_the_study_does_not_know_is_not_overwritten(tmp_path: Path) -> None:
    searcher = make_searcher(tmp_path / "toy", make_space())
    searcher.paths.trial(0).root.mkdir(parents=True)
    with pytest.raises(StudyError, match="stands in the way of a new trial"):
        searcher.suggest("a")


def test_nothing_starts_while_the_stop_file_stands(tmp_path: Path) -> None:
    searcher = make_searcher(tmp_path / "toy", make_space())
    searcher.paths.stop.write_text("SIGINT")
    assert searcher.suggest("a") == Searcher.FINISHED


def test_each_trial_has_a_seed_of_its_own(tmp_path: Path) -> None:
    searcher = make_searcher(tmp_path / "toy", make_space())
    searcher.suggest("a")
    searcher.suggest("b")
    assert [read_yaml(folder.config)["trial"]["seed"] for _, folder in searcher.paths.trials()] == [0, 1]


def test_the_same_seed_proposes_the_same_trials(tmp_path: Path) -> None:
    configs = []
    for name in ("one", "two"):
        searcher = make_searcher(tmp_path / name, make_space())
        searcher.suggest("a")
        configs.append(read_yaml(searcher.paths.trial(0).config))
    assert configs[0] == configs[1]


@pytest.mark.parametrize("has_look", [True, False])
def test_what_a_spent_budget_leaves_waiting_is_ended_as_it_stands(tmp_path: Path, has_look: bool) -> None:
    space = make_space(trials=9, epochs=4)
    first = make_searcher(tmp_path / "toy", space)
    first.suggest("a")
    first.suggest("b")
    if has_look:
        look(first, "b", 1, 2, 0.5)
    look(first, "a", 0, 4, 0.5, is_last=True)  # and then the driver is killed
    first.paths.stop.unlink()
    second = make_searcher(tmp_path / "toy", space)
    assert second.suggest("a") == Searcher.FINISHED
    second.finish()
    states = [trial.state for trial in stored(tmp_path / "toy", space)]
    assert states == [TrialState.COMPLETE, TrialState.PRUNED if has_look else TrialState.FAIL]


def test_what_the_time_limit_leaves_waiting_goes_on_next_time(tmp_path: Path) -> None:
    space = make_space()
    make_searcher(tmp_path / "toy", space).suggest("a")
    second = make_searcher(tmp_path / "toy", space)
    second.finish()
    assert [trial.state for trial in stored(tmp_path / "toy", space)] == [TrialState.RUNNING]


def test_what_kills_left_of_writes_is_removed_at_the_next_start(tmp_path: Path) -> None:
    space = make_space()
    searcher = make_searcher(tmp_path / "toy", space)
    searcher.suggest("a")
    folder = searcher.paths.trial(0)
    look(searcher, "a", 0, 4, 0.5, is_last=True)
    folder.checkpoints.mkdir()
    left = [folder.checkpoints / ".resume.pt.0a1b2c3d.part", folder.resume, folder.paused]
    for path in left:
        path.write_text("left")
    make_searcher(tmp_path / "toy", space)
    assert not any(path.exists() for path in left)
