"""The cost of a training, measured with a few of its steps."""

import random
import sys

import numpy as np
import pytest
import torch

from raysearch.config import TrialConfig
from raysearch.io import read_json
from raysearch.train.probe import probe
from raysearch.train.resource_check import Cost, Seconds, count_evaluations

CPU = torch.device("cpu")
MODULE = sys.modules["raysearch.train.probe"]


@pytest.fixture(scope="module")
def cost(digits, finished):
    training, _, _ = finished
    return probe(training.trial, digits)


def costing(**others):
    """One second per batch, one per pixel of a training or inference pass, and one byte per pixel."""
    values = {"parameters": 1, "num_features": 5, "weights_bytes": 100, "optimizer_bytes": 10, "checkpoint_bytes": 210}
    seconds = Seconds(step=1.0, pixel=1.0, evaluation=1.0, batch_size=2)
    return Cost(**(values | {"saved_bytes": 1.0, "seconds": seconds} | others))


def test_bytes_are_those_of_the_files_that_a_training_leaves(cost, finished):
    _, paths, _ = finished
    assert cost.parameters == read_json(paths.info)["num_parameters"]
    assert cost.weights_bytes == pytest.approx(paths.weights("student").stat().st_size, rel=0.05)
    assert cost.checkpoint_bytes == pytest.approx(paths.resume.stat().st_size, rel=0.25)
    kept = [*(paths.root / "predictions").iterdir(), *(paths.root / "features").iterdir()]
    expected = cost.predictions_bytes(finished[0].trial, held_out=40, classes=10)
    assert expected == pytest.approx(sum(path.stat().st_size for path in kept), rel=0.5)


def test_what_the_backward_pass_needs_is_counted(digits, config):
    trial = config(backbone="wrn_10_1", batch_size=20).trial
    at_16, at_32 = (
        probe(trial.model_copy(update={"image_size": size}), digits).saved_bytes * size**2 for size in (16, 32)
    )
    # The stem's and the first block's maps alone: five of 16 channels, each pixel 4 bytes.
    assert at_16 > 5 * 16 * 4 * 16**2
    assert at_32 == pytest.approx(4 * at_16, rel=0.05)


def test_a_training_on_another_machine_has_no_seconds(cost):
    assert cost.seconds is None


def test_nothing_is_measured_without_enough_memory(digits, config, monkeypatch):
    monkeypatch.setattr(MODULE, "_free_memory", lambda: 1e6)
    assert probe(config().trial, digits, device=CPU).seconds is None


def test_generators_threads_and_modes_are_restored(digits, config):
    def state():
        return torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()[1].tolist()

    torch.manual_seed(3)
    before, threads = state(), torch.get_num_threads()
    with torch.no_grad():
        probe(config(dropout=0.5).trial, digits, 0.1, threads=2, device=CPU)
        assert not torch.is_grad_enabled()
    assert state() == before
    assert torch.get_num_threads() == threads


def test_a_small_backbone_is_measured_with_a_full_batch_whatever_the_limit(digits, config):
    seconds = probe(config(batch_size=10).trial, digits, 0.1, device=CPU).seconds
    assert seconds.batch_size == 10
    assert seconds.pixel > 0
    assert seconds.evaluation > 0


@pytest.mark.parametrize(("evaluation_s", "measured"), [(1e-6, 2), (1e-2, 0)], ids=["slow", "very slow"])
def test_a_slow_backbone_is_measured_with_two_images_or_with_inference_only(
    digits, config, monkeypatch, evaluation_s, measured
):
    sizes = []

    def time_batch(task, split, size, *limits):
        sizes.append(size)
        return 8.0

    monkeypatch.setattr(MODULE, "_time_batch", time_batch)
    monkeypatch.setattr(MODULE, "_time_inference", lambda task, images: evaluation_s)
    trial = config(batch_size=20).trial
    cost = probe(trial, digits, 10.0, device=CPU)
    assert sizes == [2] * (measured > 0)
    assert cost.seconds.batch_size == measured
    # Two views of four passes each, and a training pass counts as 1.5 inference passes.
    image_s = 8.0 / 2 if measured else 2 * 4 * 1.5 * evaluation_s * 16**2
    assert cost.batch_s(trial) == pytest.approx(20 * image_s)


def test_two_batch_sizes_separate_the_time_per_step_from_the_time_per_image(digits, config, monkeypatch):
    monkeypatch.setattr(MODULE, "_time_batch", lambda task, split, size, *limits: 0.1 + 0.02 * size)
    monkeypatch.setattr(MODULE, "_time_inference", lambda task, images: 1e-6)
    cost = probe(config(batch_size=20).trial, digits, device=CPU)
    assert cost.seconds.step == pytest.approx(0.1)
    assert cost.batch_s(config(batch_size=20).trial) == pytest.approx(0.5)
    assert cost.batch_s(config(batch_size=40).trial) == pytest.approx(0.9)
    one_view = config(batch_size=20, method={"views": 1, "beta": 0, "gamma": 0}).trial
    assert cost.batch_s(one_view) == pytest.approx(0.1 + 0.4 / 2 * 3 / 4), "one of two views, no teacher pass"


def test_the_time_of_a_training_is_the_sum_of_its_batches_and_evaluations():
    method = {"views": 1, "beta": 0, "gamma": 0}
    trial = TrialConfig(image_size=8, epochs=5, eval_every=2, batch_size=10, accumulation=2, method=method)
    batch, evaluation = 1 + 10 * 64 * 3, 2 * 7 * 64
    # 59 images make two full steps of 20; evaluations follow epochs 2, 4 and 5.
    assert costing().training_s(trial, train=59, held_out=7) == 5 * 4 * batch + 3 * evaluation
    assert costing().training_s(trial, train=59, held_out=7, workers=2) == 5 * 2 * batch + 3 * evaluation
    tencrop = trial.model_copy(update={"inference": trial.inference.model_copy(update={"tencrop": True})})
    assert costing().training_s(tencrop, train=59, held_out=7) == 5 * 4 * batch + 13 * evaluation
    stages = TrialConfig(image_size=8, batch_size=10, method=method, stages=[{"epochs": 1}, {"epochs": 1}])
    assert costing().training_s(stages, train=20, held_out=7) == 2 * 2 * batch + 2 * evaluation


def test_evaluations_for_stubborn_classes_are_counted():
    stubborn = {"probability": 0.5, "update_every": 4}
    trial = TrialConfig(epochs=10, eval_every=3, augment={"stubborn": stubborn})
    assert count_evaluations(trial) == len({3, 4, 6, 8, 9, 10})


def test_memory_is_that_of_the_largest_stage_and_determines_the_largest_batch():
    stages = [{"epochs": 1}, {"epochs": 1, "image_size": 16, "batch_size": 10}]
    trial = TrialConfig(image_size=8, batch_size=20, stages=stages)
    needed = costing().training_bytes(trial)
    assert needed == pytest.approx(3 * 100 + 10 + 1.3 * 10 * 2 * 16**2)
    assert costing().batch_within(trial, needed + 1) == 10
    assert costing().batch_within(trial, needed / 2) == 4
    assert costing().batch_within(trial, 0) == 0
