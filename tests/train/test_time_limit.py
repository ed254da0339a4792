"""Trainings with a time limit, on a clock that advances by a given time per step."""

from itertools import pairwise

import pytest
import torch
from safetensors.torch import load_file

from raysearch.io import read_json
from raysearch.paths import TrialPaths
from raysearch.train import loop
from raysearch.train.loop import train
from raysearch.train.result import read_metrics, write_result
from raysearch.train.stage import Stage
from raysearch.train.time_limit import TimeLimit

STEPS = 4  # of an epoch: 40 images in batches of 10
EVALUATION = 4  # steps that the evaluation of 40 images by two networks is given, at two views an image


class Clock:
    """`time` of the loop. A step takes ``pace(seconds)`` seconds."""

    def __init__(self, pace):
        self.now, self.pace = 0.0, pace

    def monotonic(self):
        return self.now


@pytest.fixture
def run(digits, config, host, tmp_path, monkeypatch):
    """Trains with steps of a given duration: returns folder, lines, learning rates, seconds."""

    def run(pace, name="trial", reporter=None, **trial):
        clock, rates, step = Clock(pace), [], Stage.step
        monkeypatch.setattr(loop, "time", clock)

        def timed_step(self, *args):
            terms = step(self, *args)
            clock.now += clock.pace(clock.now)
            rates.append(self.optimizer.param_groups[0]["lr"])
            return terms

        monkeypatch.setattr(Stage, "step", timed_step)
        paths = TrialPaths(tmp_path / name)
        values = {"epochs": 10, "batch_size": 10, "eval_every": 100} | trial
        try:
            is_done = train(config(**values), digits, paths, reporter or host())
        finally:
            monkeypatch.setattr(Stage, "step", step)
        assert is_done
        return paths, read_metrics(paths), rates, clock.now

    return run


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def test_a_training_with_enough_time_is_the_same_as_without_a_limit(run):
    limited, lines, _, seconds = run(lambda now: 1.0, time_limit_s=60)
    free, expected, _, _ = run(lambda now: 1.0, "free")
    assert seconds == 10 * STEPS
    assert lines == expected
    assert "schedule" not in read_json(limited.info)
    one, other = load_file(limited.weights("student")), load_file(free.weights("student"))
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(("slower", "limit_s"), [(1.5, 40), (3, 40), (10, 240)])
def test_a_slow_training_ends_in_time_with_its_schedule(run, slower, limit_s):
    paths, lines, rates, seconds = run(lambda now: slower, time_limit_s=limit_s)
    assert limit_s - 2 * slower < seconds + EVALUATION * slower <= limit_s
    assert rates[-1] < 0.15 * max(rates)
    assert lines[-1]["epochs"] == lines[-1]["epoch"] < 10
    assert "partial" not in lines[-1]
    assert lines[-1]["held_out"]
    result = write_result(paths, 0, "COMPLETE", "accuracy", 10, "wrn_10_1", {})
    assert any(note.startswith("trial.time_limit_s: ") for note in result["notes"])


def test_a_machine_that_slows_down_tenfold_in_the_middle(run):
    _, _, rates, seconds = run(lambda now: 1.0 if now < 20 else 10.0, time_limit_s=100)
    assert 80 < seconds + EVALUATION * 10 <= 100
    assert rates[-1] < 0.2 * max(rates)
    assert rates[19] > 0.3 * max(rates)  # the curve was the planned one until then


def test_steps_that_a_pause_took_come_back_after_it(run):
    _, _, rates, seconds = run(lambda now: 8.0 if 10 <= now < 12 else 1.0, time_limit_s=60)
    assert len(rates) == 10 * STEPS
    assert seconds == 10 * STEPS + 7


def test_the_learning_rate_has_no_jump(run):
    _, _, rates, _ = run(lambda now: 1.0 if now < 10 else 3.0, time_limit_s=60, epochs=20)
    falls = [one - other for one, other in pairwise(rates[8:])]
    assert max(falls) < 0.25 * max(rates)
    assert min(falls) >= 0


def test_a_resumed_training_keeps_its_changed_schedule(run, host):
    whole, expected, _, _ = run(lambda now: 2.0, "whole", time_limit_s=60, eval_every=3)
    with pytest.raises(KeyboardInterrupt):
        run(lambda now: 2.0, "cut", host(dies_after=1), time_limit_s=60, eval_every=3)
    cut, lines, _, _ = run(lambda now: 2.0, "cut", time_limit_s=60, eval_every=3)
    assert read_json(cut.info)["schedule"] == read_json(whole.info)["schedule"]
    assert [line["lr"] for line in lines] == [line["lr"] for line in expected]


def test_time_for_the_last_evaluation_is_left():
    limit = TimeLimit(100, evaluation_images=300)
    limit.count_steps(0, 0, 10, 1000, 1000)
    # 10 steps of a second: 90 are left, and the evaluation takes as long as 30 steps.
    assert limit.count_steps(10, 10, 10, 1000, 1000) == 10 + 60


def test_a_training_that_is_late_ends_at_once():
    limit = TimeLimit(10, evaluation_images=0)
    limit.count_steps(1, 1, 10, 1000, 1000)
    assert limit.count_steps(30, 2, 10, 1000, 1000) == 2
