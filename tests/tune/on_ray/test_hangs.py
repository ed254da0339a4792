"""The two ways in which Ray Train inside Ray Tune hangs (Ray 2.60), each seen, and not seen with ours.

test_several_workers.py has both situations in a shorter search, which runs with every change.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nested
import pytest

pytestmark = pytest.mark.extra


def started(way: str, case: str, folder: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, nested.__file__, way, case, str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def events(process: "subprocess.Popen[str]") -> list[dict[str, Any]]:
    stdout, stderr = process.communicate(timeout=400)
    assert process.returncode == 0, stderr
    return [json.loads(line) for line in stdout.splitlines() if line.startswith("{")]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, "subprocess.Popen[str]"]]:
    """Both plain cases, side by side: they spend their time waiting."""
    processes = {case: started("plain", case, tmp_path_factory.mktemp(case)) for case in ("stop", "slow")}
    yield processes
    for process in processes.values():
        process.kill()
        process.communicate()


def named(found: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    return [event for event in found if event["event"] == name]


def test_nested_plainly_a_stopped_trial_keeps_its_workers_resources_for_ever(plain: dict[str, Any]) -> None:
    found = events(plain["stop"])
    assert named(found, "stopped")
    assert not named(found, "freed")
    (hang,) = named(found, "hangs")
    assert hang["groups"] >= 1
    assert hang["free_cpus"] == 0


def test_nested_plainly_a_slow_driver_is_never_told_of_the_end(plain: dict[str, Any]) -> None:
    found = events(plain["slow"])
    assert len(named(found, "result")) < nested.EPOCHS
    assert named(found, "hangs")


def test_ours_frees_a_stopped_trial_s_resources_and_the_next_one_trains(tmp_path: Path) -> None:
    found = events(started("ours", "stop", tmp_path))
    (stopped,), (freed,) = named(found, "stopped"), named(found, "freed")
    assert freed["s"] - stopped["s"] < 10
    assert [(end["trial"], end["state"], end["epochs"]) for end in named(found, "ended")] == [
        (0, "PRUNED", 1),
        (1, "COMPLETE", nested.EPOCHS),
    ]
    (done,) = named(found, "done")
    assert done["free_cpus"] == 2
    assert done["freed_s"] < 10


def test_ours_loses_no_result_to_a_slow_driver(tmp_path: Path) -> None:
    found = events(started("ours", "slow", tmp_path))
    assert [event["epoch"] for event in named(found, "result")] == [1, 2, 3]
    assert [(end["state"], end["epochs"]) for end in named(found, "ended")] == [("COMPLETE", nested.EPOCHS)]
    assert named(found, "done")
