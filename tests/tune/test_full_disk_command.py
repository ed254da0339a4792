"""The whole command with `--json` on a disk that fills up: `test_full_disk.py` does the same in one process."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

pytestmark = [pytest.mark.slow, pytest.mark.extra]

SPACE = """
study: toy
data: {source: digits, train_per_class: 4, held_out_per_class: 4}
resources: {concurrency: 1}
search: {trials: 2, scheduler: none}
trial:
  backbone: wrn_10_1
  image_size: 16
  epochs: 30
  batch_size: 20
  augment: {policy: none, crop_padding: 2}
  optimizer: {name: sgd, lr: {loguniform: [0.01, 0.1]}}
"""


def test_it_pauses_with_a_message_and_goes_on(small_disk: Path, tmp_path: Path) -> None:
    (tmp_path / "toy.yaml").write_text(SPACE)
    command = [sys.executable, "-m", "raysearch.tune", str(tmp_path / "toy.yaml"), "--out", str(small_disk), "--json"]
    others = small_disk / "others"
    events: list[dict[str, Any]] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as driver:
        assert driver.stdout is not None
        overdue = threading.Timer(200, driver.kill)
        overdue.start()
        for line in driver.stdout:
            event = json.loads(line)
            events.append(event)
            if event["event"] == "reported" and not others.exists() and event["trial"] == 0:
                free = os.statvfs(small_disk)
                others.write_bytes(b"x" * (free.f_bavail * free.f_frsize - 16_384))
                filled = time.monotonic()
            if event["event"] == "noted" and "the disk is full" in event["text"]:
                assert not any(e["event"] == "ended" for e in events)
                time.sleep(3)
                os.truncate(others, 0)
        overdue.cancel()
        assert driver.wait() == 0, driver.stderr and driver.stderr.read()
    notes = [event["text"] for event in events if event["event"] == "noted"]
    assert any("the disk is full; training is paused (trial 0)" in note for note in notes), notes
    assert any("the disk has free space again" in note for note in notes), notes
    assert time.monotonic() - filled > 3
    storage = f"sqlite:///{small_disk}/toy/study.db"
    trials = optuna.load_study(study_name="toy", storage=storage).trials
    assert [trial.state for trial in trials] == [TrialState.COMPLETE, TrialState.COMPLETE]
    assert all(sorted(trial.intermediate_values) == list(range(1, 31)) for trial in trials)
