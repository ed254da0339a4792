"""A search whose disk fills up while it runs: it pauses, says so, and goes on when there is room."""

import os
import threading
import time
from pathlib import Path
from typing import Any

import optuna
import pytest
from in_process import search_watched
from optuna.trial import TrialState

pytestmark = pytest.mark.slow

EPOCHS = 30
PAUSE_S = 1.5
SPACE = {
    "study": "toy",
    "data": {"source": "digits", "train_per_class": 4, "held_out_per_class": 4},
    "resources": {"concurrency": 1},
    "search": {"trials": 2, "scheduler": "none"},
    "trial": {
        "backbone": "wrn_10_1",
        "image_size": 16,
        "epochs": EPOCHS,
        "batch_size": 20,
        "augment": {"policy": "none", "crop_padding": 2},
        "optimizer": {"name": "sgd", "lr": {"loguniform": [0.01, 0.1]}},
    },
}


def test_it_pauses_with_a_message_and_goes_on(small_disk: Path, shared_ray: str) -> None:
    others = small_disk / "others"
    times: dict[str, float] = {}

    def fill_and_empty(event: dict[str, Any]) -> None:
        times.setdefault(event["event"], time.monotonic())
        if event["event"] == "reported" and not others.exists():
            free = os.statvfs(small_disk)
            others.write_bytes(b"x" * (free.f_bavail * free.f_frsize - 16_384))
        if event["event"] == "noted" and "the disk is full" in event["text"]:
            threading.Timer(PAUSE_S, os.truncate, [others, 0]).start()
            times["full"] = time.monotonic()
            assert "ended" not in times

    shown = search_watched(SPACE, small_disk, fill_and_empty)
    notes = [event["text"] for event in shown.named("noted")]
    assert any("the disk is full; training is paused (trial 0)" in note for note in notes), notes
    assert any("the disk has free space again" in note for note in notes), notes
    assert times["ended"] - times["full"] > PAUSE_S
    trials = optuna.load_study(study_name="toy", storage=f"sqlite:///{small_disk}/toy/study.db").trials
    assert [trial.state for trial in trials] == [TrialState.COMPLETE, TrialState.COMPLETE]
    assert all(sorted(trial.intermediate_values) == list(range(1, EPOCHS + 1)) for trial in trials)
