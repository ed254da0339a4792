"""A search whose trials are trained by two processes each (gloo), every term of the method on, through Ray Train."""

import json
import threading
import time
from dataclasses import dataclass
from typing import Any

import optuna
import psutil
import pytest
import ray
from in_process import search_watched, wait_for
from optuna.trial import TrialState
from watching_display import WatchingDisplay

from raysearch.io import read_json
from raysearch.paths import VIEWS, StudyPaths, view_parts
from raysearch.predictions import read_predictions

pytestmark = pytest.mark.slow

EPOCHS = 6
KILLED_AT, SLOW_S = 2, 0.5
SPACE: dict[str, Any] = {
    "study": "pairs",
    "data": {"source": "digits", "train_per_class": 6, "held_out_per_class": 5},
    "resources": {"workers": 2},
    "search": {"trials": 2, "objective": "log_loss", "scheduler": "asha", "grace": 0.5, "max_failures": 1},
    "trial": {
        "backbone": "wrn_10_1",
        "image_size": 16,
        "epochs": EPOCHS,
        "batch_size": 15,
        "augment": {
            "policy": "basic",
            "mixing": "both",
            "erasing": 0.2,
            "cutout": 0.2,
            "stubborn": {"probability": 0.5, "update_every": 2},
        },
        "method": {
            "alpha": 0.1,
            "beta": 0.5,
            "contrast": "features",
            "gather": True,
            "gamma": 1.0,
            "ema_decay": 0.9,
            "aux_weight": 0.4,
        },
        "optimizer": {"name": "sgd", "lr": {"loguniform": [0.01, 0.1]}, "warmup_epochs": 0},
    },
}


GOOD, DIVERGING, WEAK = ({"optimizer": {"lr": lr}} for lr in (0.05, 1.0e30, 1.0e-9))
THREE_TRIALS = pytest.param([GOOD, DIVERGING, WEAK], id="three trials", marks=pytest.mark.extra)


@dataclass
class Done:
    """The search: one of its workers is killed in the first trial, and the display is slow from then on."""

    paths: StudyPaths
    shown: WatchingDisplay
    lines_before: list[str]
    """Of the trial whose worker was killed, just before"""
    restarted_s: float
    """Seconds from the kill to the next report"""
    freed_s: float
    """Seconds from the stopped trial's end until its placement group was gone"""

    @property
    def trials(self) -> list[optuna.trial.FrozenTrial]:
        return optuna.load_study(study_name="pairs", storage=f"sqlite:///{self.paths.database}").trials


@pytest.fixture(
    scope="module",
    params=[pytest.param([GOOD, WEAK], id="two trials"), THREE_TRIALS],
)
def done(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, shared_ray: str) -> Done:
    last = len(request.param) - 1
    folder = tmp_path_factory.mktemp("pairs of workers")
    paths = StudyPaths(folder / "pairs")
    killed: list[float] = []
    before: list[str] = []
    restarted, freed = list[float](), list[float]()

    def watch(stopped: float) -> None:
        wait_for(lambda: not standing_groups(), 60)
        freed.append(time.monotonic() - stopped)

    def act(event: dict[str, Any]) -> None:
        reported = event["event"] == "reported"
        if reported and event["trial"] == 0:
            if killed and not restarted:
                restarted.append(time.monotonic() - killed[0])
            if event["epoch"] == KILLED_AT and not killed:
                before.extend(paths.trial(0).metrics.read_text().splitlines())
                next(filter(is_worker, psutil.Process().children(recursive=True))).kill()
                killed.append(time.monotonic())
            elif restarted:
                time.sleep(SLOW_S)
        elif event["event"] == "ended" and event["trial"] == last:
            watcher.append(threading.Thread(target=watch, args=[time.monotonic()]))
            watcher[0].start()

    watcher = list[threading.Thread]()
    shown = search_watched({**SPACE, "search": {**SPACE["search"], "first": request.param}}, folder, act)
    watcher[0].join()
    return Done(paths, shown, before, restarted[0], freed[0])


def test_the_counts_are_exact_and_asha_stops_the_weak(done: Done) -> None:
    states = [trial.state for trial in done.trials]
    assert states == [TrialState.COMPLETE, *[TrialState.FAIL] * (len(states) - 2), TrialState.PRUNED]
    stopped = read_json(done.paths.trial(len(states) - 1).result)
    assert stopped["reason"] == "stopped by the scheduler"
    assert stopped["epochs_done"] == EPOCHS // 2
    assert sorted(done.trials[-1].intermediate_values) == [1, 2, 3]


def test_a_stopped_trial_frees_its_resources(done: Done) -> None:
    assert done.freed_s < 10


def test_no_report_is_lost_on_a_slow_display(done: Done) -> None:
    epochs = [event["epoch"] for event in done.shown.named("reported", 0)]
    assert sorted(set(epochs)) == list(range(1, EPOCHS)), "the last one comes with the end"
    assert sorted(done.trials[0].intermediate_values) == list(range(1, EPOCHS + 1))


def test_a_killed_worker_costs_an_epoch_at_most(done: Done) -> None:
    lines = done.paths.trial(0).metrics.read_text().splitlines()
    assert len(done.lines_before) >= KILLED_AT
    assert lines[: len(done.lines_before) - 1] == done.lines_before[:-1]
    assert [json.loads(line)["epoch"] for line in lines] == list(range(1, EPOCHS + 1))
    assert done.restarted_s < 120


@pytest.mark.parametrize("done", [THREE_TRIALS], indirect=True, scope="module")
def test_an_error_in_the_loop_is_a_failure_with_its_own_traceback(done: Done) -> None:
    result = read_json(done.paths.trial(1).result)
    assert result["state"] == "FAIL"
    assert result["reason"].startswith("Diverged: the training loss is not finite in epoch")
    error = done.paths.trial(1).error.read_text()
    assert error.startswith(result["reason"])
    assert "in _pass_over" in error, "where it was raised, in the worker"


def test_every_term_was_on_and_every_view_is_stored(done: Done) -> None:
    last = json.loads(done.paths.trial(0).metrics.read_text().splitlines()[-1])
    terms = {name for name, value in last["train"].items() if value != 0}
    assert terms >= {"loss", "ce", "rce", "cr", "mt", "aux_ce", "aux_rce"}
    for view in VIEWS:
        if view_parts(view).crops == "center":
            assert len(read_predictions(done.paths.trial(0).predictions(view)).labels) == 50


def test_what_ray_train_needed_is_gone(done: Done) -> None:
    assert not done.paths.trial(0).ray.exists()


def standing_groups() -> list[Any]:
    """Placement groups that hold resources."""
    return [group for group in ray.util.placement_group_table().values() if group["state"] == "CREATED"]


def is_worker(process: psutil.Process) -> bool:
    """Whether it is a worker of Ray Train."""
    try:
        return "RayTrainWorker" in " ".join(process.cmdline())
    except psutil.Error:
        return False
