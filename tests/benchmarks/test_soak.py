"""The soak, small; and that what it looks for would be seen."""

import json
import random
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from benchmarks.soak import Search, Soak
from raysearch.train.result import write_result

SMALL = Search(workers=1, trials=2, epochs=25, targets=("trial", "node", "driver"))


@pytest.mark.extra
def test_a_search_under_fire_loses_nothing(tmp_path: Path) -> None:
    soak = Soak(SMALL, tmp_path, random.Random(0))
    soak.run(kills=3)
    assert soak.kills == ["trial", "node", "driver"]
    assert soak.faults == []


@pytest.fixture
def soak(tmp_path: Path) -> Soak:
    """After a kill: trial 0 has ended whole, trial 1 was at its third line."""
    soak = Soak(SMALL, tmp_path, random.Random(0))
    soak.paths.root.mkdir()
    study = optuna.create_study(storage=f"sqlite:///{soak.paths.database}", study_name=SMALL.name, direction="maximize")
    study.add_trial(create_trial(value=0.5, intermediate_values=dict.fromkeys(range(1, 26), 0.5)))
    study.add_trial(create_trial(state=TrialState.RUNNING))
    write_lines(soak, 0, 25)
    write_lines(soak, 1, 3)
    write_result(soak.paths.trial(0), 0, "COMPLETE", "accuracy", 25, "wrn_10_1", {})
    soak._remember()
    return soak


def write_lines(soak: Soak, number: int, epochs: int, seconds: float = 1.0) -> None:
    folder = soak.paths.trial(number)
    folder.root.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"epoch": epoch, "seconds": seconds * epoch}) for epoch in range(1, epochs + 1)]
    folder.metrics.write_text("".join(f"{line}\n" for line in lines))


def test_an_epoch_may_be_lost(soak: Soak) -> None:
    write_lines(soak, 1, 2)
    soak._check_kept()
    assert soak.faults == []


def test_two_epochs_may_not(soak: Soak) -> None:
    write_lines(soak, 1, 1)
    soak._check_kept()
    assert "trial 1 lost more than one epoch" in soak.faults[0]


def test_a_training_that_began_anew_is_seen_though_it_has_come_as_far(soak: Soak) -> None:
    write_lines(soak, 1, 3, seconds=1.1)
    soak._check_kept()
    assert "trial 1 lost more than one epoch" in soak.faults[0]


def test_an_ended_trial_that_was_trained_again_is_seen(soak: Soak) -> None:
    write_lines(soak, 0, 25, seconds=1.1)
    soak._check_kept()
    assert soak.faults == ["ended trial 0 was trained again"]


def test_what_is_left_running_at_the_end_is_seen(soak: Soak) -> None:
    soak._check_end()
    assert any("must be COMPLETE or PRUNED" in fault for fault in soak.faults)


def test_a_trial_too_few_is_seen(soak: Soak) -> None:
    soak.trials = 3
    soak._check_end()
    assert any("expected 3 trials, got 2" in fault for fault in soak.faults)


def test_an_epoch_that_stands_twice_is_seen(soak: Soak) -> None:
    with soak.paths.trial(0).metrics.open("a") as file:
        file.write(json.dumps({"epoch": 25, "seconds": 26}) + "\n")
    soak._check_end()
    assert any("trial 0 must have every epoch once" in fault for fault in soak.faults)


def test_a_database_that_cannot_be_read_is_seen(soak: Soak) -> None:
    soak.paths.database.write_bytes(b"not a database" * 100)
    soak._check_kept()
    assert any("the study cannot be read" in fault for fault in soak.faults)
