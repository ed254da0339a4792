"""The time limit and the signals that end a search before its time."""

import os
import signal
import time
from pathlib import Path

import pytest
from in_process import wait_for
from silent import Silent

from raysearch.paths import StudyPaths
from raysearch.tune.stopping import stopping


class Notes(Silent):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def noted(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture
def paths(tmp_path: Path) -> StudyPaths:
    return StudyPaths(tmp_path)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_asks_trials_to_stop_and_only_once(paths: StudyPaths, number: signal.Signals) -> None:
    before, notes = signal.getsignal(number), Notes()
    with stopping(paths, None, time.monotonic(), notes):
        os.kill(os.getpid(), number)
        wait_for(paths.stop.exists)
        assert signal.getsignal(number) == before, "a second one ends the command"
    assert notes.notes == [f"stopped by {number.name}: running trials end after their batch"]
    assert not paths.stop.exists()


def test_the_time_limit_counts_from_when_the_command_began(paths: StudyPaths) -> None:
    notes = Notes()
    with stopping(paths, 60.0, time.monotonic() - 59.8, notes):
        wait_for(paths.stop.exists, 20)
    assert notes.notes == ["stopped by the time limit of 60 s: running trials end after their batch"]
    assert not paths.stop.exists()


def test_a_search_that_ends_earlier_is_not_stopped(paths: StudyPaths) -> None:
    notes = Notes()
    with stopping(paths, 0.2, time.monotonic(), notes):
        pass
    time.sleep(0.4)
    assert notes.notes == []
    assert not paths.stop.exists()
