"""A searcher that another driver, or an earlier one, left a study for: what goes on, what has ended."""

import json
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState
from ray.tune.search import Searcher
from searcher_by_hand import fail, line, make_searcher, make_space, report, stored

from raysearch.io import read_json, read_yaml
from raysearch.paths import StudyPaths, TrialPaths
from raysearch.train.result import write_result
from raysearch.tune.values import report_of


def test_deaths_are_counted_over_restarts(tmp_path: Path) -> None:
    space = make_space()
    for _ in range(3):
        searcher = make_searcher(tmp_path / "toy", space, concurrency=1)
        searcher.suggest("a")
        searcher.on_trial_complete("a", error=True)
    (trial,) = stored(tmp_path / "toy", space)
    assert trial.user_attrs["reason"] == "its process died 3 times in epoch 1 (no reason is known)"


def test_first_trials_run_once_over_any_number_of_restarts(tmp_path: Path) -> None:
    space = make_space(trials=4, first=[{"method": {"alpha": 0.01}}, {"method": {"alpha": 0}}])
    for restart in range(3):
        searcher = make_searcher(tmp_path / "toy", space, concurrency=1)
        if restart < 2:
            searcher.suggest("a")
            report(searcher, "a", restart, 4, 0.5, is_last=True)
    alphas = [read_yaml(folder.config)["trial"]["method"]["alpha"] for _, folder in searcher.paths.trials()]
    assert alphas == [0.01, 0]
    trials = stored(tmp_path / "toy", space)
    assert [trial.user_attrs.get("first") for trial in trials] == [0, 1]
    assert trials[0].params == {"method.alpha": 0.01}
    assert trials[1].params == {}, "0 lies outside the range, so the study is not told of it"


def test_a_trial_left_running_with_a_checkpoint_resumes_under_its_number(tmp_path: Path) -> None:
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
    report(second, "b", 0, 4, 0.6, is_last=True)
    assert stored(tmp_path / "toy", space)[0].state == TrialState.COMPLETE


def test_a_trial_left_running_without_a_checkpoint_restarts_under_its_number(tmp_path: Path) -> None:
    space = make_space(trials=1, max_failures=0, first=[{"method": {"alpha": 0.5}}])
    before = make_searcher(tmp_path / "toy", space).suggest("a")
    second = make_searcher(tmp_path / "toy", space)
    assert second.suggest("b") == before
    report(second, "b", 0, 4, 0.5, is_last=True)
    (trial,) = stored(tmp_path / "toy", space)
    assert (trial.state, trial.params) == (TrialState.COMPLETE, {"method.alpha": 0.5})
    assert second.suggest("c") == Searcher.FINISHED


@pytest.mark.parametrize("first", [[], [{"method": {"alpha": 0.5}}]])
def test_a_trial_whose_driver_died_while_drawing_is_drawn_completely(tmp_path: Path, first: list[Any]) -> None:
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


def test_a_trial_that_ends_without_a_result_stays_running_for_the_next_start(tmp_path: Path) -> None:
    space = make_space()
    searcher = make_searcher(tmp_path / "toy", space)
    searcher.suggest("a")
    searcher.on_trial_complete("a")
    assert stored(tmp_path / "toy", space)[0].state == TrialState.RUNNING


def test_evaluations_that_the_study_lacks_are_stored_at_the_end(tmp_path: Path) -> None:
    space = make_space()
    searcher = make_searcher(tmp_path / "toy", space)
    searcher.suggest("a")
    unheard = json.dumps(line(1, 0.4, 0.3)) + "\n"
    searcher.paths.trial(0).metrics.write_text(unheard)
    report(searcher, "a", 0, 2, 0.6, is_last=True)
    assert stored(tmp_path / "toy", space)[0].intermediate_values == {1: 0.4, 2: 0.6}


def test_the_epochs_of_all_trials_end_the_search_and_count_over_restarts(tmp_path: Path) -> None:
    space = make_space(trials=9, epochs=5)
    searcher = make_searcher(tmp_path / "toy", space)
    searcher.suggest("a")
    report(searcher, "a", 0, 4, 0.5, is_last=True)
    searcher.suggest("b")
    assert not searcher.paths.stop.exists()
    report(searcher, "b", 1, 1, 0.5)
    assert searcher.paths.stop.read_text() == "stopped by the budget of 5 epochs (search.epochs)"
    searcher.on_trial_complete("b", report_of(line(1, 0.5, 0.4), "accuracy", 4))
    assert searcher.suggest("c") == Searcher.FINISHED
    assert read_json(searcher.paths.trial(1).result)["state"] == "PRUNED"
    searcher.paths.stop.unlink()
    assert make_searcher(tmp_path / "toy", space).suggest("a") == Searcher.FINISHED
    raised = make_space(trials=9, epochs=20)
    assert isinstance(make_searcher(tmp_path / "toy", raised).suggest("a"), dict)


def test_a_resumed_search_draws_other_trials(tmp_path: Path) -> None:
    space = make_space(trials=4)
    for restart in range(2):
        searcher = make_searcher(tmp_path / "toy", space)
        for trial_id in ("a", "b"):
            searcher.suggest(trial_id)
        for number, trial_id in enumerate(("a", "b"), start=2 * restart):
            report(searcher, trial_id, number, 4, 0.5, is_last=True)
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


def test_a_trial_with_a_result_that_the_study_lacks_is_not_trained_again(tmp_path: Path) -> None:
    space = make_space()
    first = make_searcher(tmp_path / "toy", space)
    first.suggest("a")
    folder = first.paths.trial(0)
    folder.metrics.write_text(json.dumps(line(4, 0.4, 0.3)) + "\n")
    write_result(folder, 0, "COMPLETE", "accuracy", 4, "wrn_16_2", {})
    make_searcher(tmp_path / "toy", space)
    (trial,) = stored(tmp_path / "toy", space)
    assert (trial.state, trial.value) == (TrialState.COMPLETE, 0.4)


def test_a_trial_stopped_within_an_epoch_is_pruned_after_its_driver_died(tmp_path: Path) -> None:
    space = make_space()
    first = make_searcher(tmp_path / "toy", space)
    first.suggest("a")
    folder = first.paths.trial(0)
    folder.metrics.write_text(json.dumps({**line(1, 0.4, 0.3), "partial": True}) + "\n")
    make_searcher(tmp_path / "toy", space)
    assert stored(tmp_path / "toy", space)[0].state == TrialState.PRUNED
    assert read_json(folder.result)["value"] == 0.4


@pytest.mark.parametrize("has_evaluation", [True, False])
def test_waiting_trials_end_when_the_budget_is_used_up(tmp_path: Path, has_evaluation: bool) -> None:
    space = make_space(trials=9, epochs=4)
    first = make_searcher(tmp_path / "toy", space)
    first.suggest("a")
    first.suggest("b")
    if has_evaluation:
        report(first, "b", 1, 2, 0.5)
    report(first, "a", 0, 4, 0.5, is_last=True)  # and then the driver is killed
    first.paths.stop.unlink()
    second = make_searcher(tmp_path / "toy", space)
    assert second.suggest("a") == Searcher.FINISHED
    second.finish()
    states = [trial.state for trial in stored(tmp_path / "toy", space)]
    assert states == [TrialState.COMPLETE, TrialState.PRUNED if has_evaluation else TrialState.FAIL]


def test_waiting_trials_after_the_time_limit_resume_at_the_next_start(tmp_path: Path) -> None:
    space = make_space()
    make_searcher(tmp_path / "toy", space).suggest("a")
    second = make_searcher(tmp_path / "toy", space)
    second.finish()
    assert [trial.state for trial in stored(tmp_path / "toy", space)] == [TrialState.RUNNING]


def test_unfinished_files_of_killed_processes_are_removed_at_the_next_start(tmp_path: Path) -> None:
    space = make_space()
    searcher = make_searcher(tmp_path / "toy", space)
    searcher.suggest("a")
    folder = searcher.paths.trial(0)
    report(searcher, "a", 0, 4, 0.5, is_last=True)
    folder.checkpoints.mkdir()
    left = [folder.checkpoints / ".resume.pt.0a1b2c3d.part", folder.resume, folder.paused]
    for path in left:
        path.write_text("left")
    make_searcher(tmp_path / "toy", space)
    assert not any(path.exists() for path in left)
