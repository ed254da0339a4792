"""The searcher against a stored study, with Tune's calls made by hand."""

import json
from pathlib import Path

import pytest
from optuna.trial import TrialState
from ray.exceptions import OutOfMemoryError
from ray.tune.search import Searcher
from searcher_by_hand import fail, line, make_searcher, make_space, report, stored

from raysearch.errors import StudyError
from raysearch.io import read_json, read_yaml
from raysearch.space import space_from
from raysearch.tune.values import report_of


def test_a_trial_that_did_all_its_epochs_is_complete_with_its_smoothed_best(tmp_path: Path) -> None:
    space = make_space()
    searcher = make_searcher(tmp_path / "toy", space)
    assert isinstance(searcher.suggest("a"), dict)
    for epoch, value in enumerate([0.3, 0.6, 0.9], start=1):
        report(searcher, "a", 0, epoch, value)
    report(searcher, "a", 0, 4, 0.3, is_last=True)
    (trial,) = stored(tmp_path / "toy", space)
    assert trial.state == TrialState.COMPLETE
    assert trial.value == pytest.approx((0.3 + 0.6 + 0.9) / 3)
    assert trial.intermediate_values == {1: 0.3, 2: 0.6, 3: 0.9, 4: 0.3}
    assert read_json(searcher.paths.trial(0).result)["state"] == "COMPLETE"


def test_a_stopped_trial_is_pruned_and_keeps_its_whole_curve(tmp_path: Path) -> None:
    space = make_space()
    searcher = make_searcher(tmp_path / "toy", space)
    searcher.suggest("a")
    report(searcher, "a", 0, 1, 0.5)
    report(searcher, "a", 0, 2, 0.7, is_last=True)
    (trial,) = stored(tmp_path / "toy", space)
    assert trial.state == TrialState.PRUNED
    assert trial.intermediate_values == {1: 0.5, 2: 0.7}
    assert trial.user_attrs["smoothed_best"] == pytest.approx(0.6)


def test_a_trial_stopped_within_its_last_epoch_is_not_complete(tmp_path: Path) -> None:
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
    report(searcher, "b", 1, 4, 0.5, is_last=True)
    assert searcher.suggest("c") == Searcher.FINISHED
    failed, replacement = stored(tmp_path / "toy", space)
    assert failed.state == TrialState.FAIL
    assert failed.user_attrs["reason"] == "Diverged: the loss is nan"
    assert replacement.state == TrialState.COMPLETE
    assert read_json(searcher.paths.trial(0).result)["reason"] == "Diverged: the loss is nan"


def test_a_trial_whose_process_died_restarts_under_its_number(tmp_path: Path) -> None:
    space = make_space(trials=1)
    searcher = make_searcher(tmp_path / "toy", space, error=RuntimeError("the node\nis gone"))
    first = searcher.suggest("a")
    searcher.on_trial_complete("a", error=True)
    assert stored(tmp_path / "toy", space)[0].state == TrialState.RUNNING
    assert searcher.suggest("b") == first
    report(searcher, "b", 0, 4, 0.5, is_last=True)
    assert searcher.suggest("c") == Searcher.FINISHED
    (trial,) = stored(tmp_path / "toy", space)
    assert trial.state == TrialState.COMPLETE
    assert ("its process died (the node is gone)", 0) in searcher.listener.events


def test_repeated_deaths_in_one_epoch_fail_the_trial(tmp_path: Path) -> None:
    space = make_space()
    searcher = make_searcher(tmp_path / "toy", space, concurrency=1, error=RuntimeError("killed"))
    for attempt in range(4):
        assert isinstance(searcher.suggest(str(attempt)), dict)
        if attempt == 1:  # an epoch further: the deaths before it no longer count
            report(searcher, str(attempt), 0, 1, 0.5)
        searcher.on_trial_complete(str(attempt), error=True)
    (trial,) = stored(tmp_path / "toy", space)
    assert trial.state == TrialState.FAIL
    assert trial.user_attrs["reason"] == "its process died 3 times in epoch 2 (killed)"


def test_a_process_that_ray_killed_for_memory_restarts_with_smaller_batches(tmp_path: Path) -> None:
    space = make_space()
    searcher = make_searcher(tmp_path / "toy", space, error=OutOfMemoryError("the node was low on memory"))
    searcher.suggest("a")
    searcher.on_trial_complete("a", error=True)
    searcher.suggest("b")
    trial = read_yaml(searcher.paths.trial(0).config)["trial"]
    assert (trial["batch_size"], trial["accumulation"]) == (25, 2)
    report(searcher, "b", 0, 4, 0.5, is_last=True)
    (note,) = read_json(searcher.paths.trial(0).result)["notes"]
    assert note.startswith("out of memory in epoch 1: continued with trial.batch_size 50 -> 25")
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
    report(searcher, "a", 0, 4, 0.5, is_last=True)
    assert isinstance(searcher.suggest("c"), dict)
    report(searcher, "b", 1, 4, 0.5, is_last=True)
    assert searcher.suggest("d") is None, "a FAIL of the last live trial would have to be replaced"
    report(searcher, "c", 2, 4, 0.5, is_last=True)
    assert searcher.suggest("d") == Searcher.FINISHED


def test_invalid_drawn_values_fail_their_trial_only(tmp_path: Path) -> None:
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
        report(searcher, trial_id, number, 1, 0.5, is_last=True)
    reasons = [read_json(folder.result)["reason"] for _, folder in searcher.paths.trials()]
    assert reasons == ["stopped by the scheduler", "stopped by SIGINT"]


def test_a_trial_folder_that_the_study_does_not_know_is_not_overwritten(tmp_path: Path) -> None:
    searcher = make_searcher(tmp_path / "toy", make_space())
    searcher.paths.trial(0).root.mkdir(parents=True)
    with pytest.raises(StudyError, match="a new trial needs this folder, but it already exists"):
        searcher.suggest("a")


def test_nothing_starts_while_the_stop_file_exists(tmp_path: Path) -> None:
    searcher = make_searcher(tmp_path / "toy", make_space())
    searcher.paths.stop.write_text("SIGINT")
    assert searcher.suggest("a") == Searcher.FINISHED


def test_each_trial_has_its_own_seed(tmp_path: Path) -> None:
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
