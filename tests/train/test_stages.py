"""Trainings of several stages, gradient accumulation, stubborn classes, other sizes."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from raysearch.config import DataConfig, TrainingConfig, TrialConfig
from raysearch.data.dataset import open_dataset
from raysearch.errors import PredictionsError
from raysearch.paths import VIEWS, TrialPaths, view_parts
from raysearch.predictions import read_predictions
from raysearch.train.loop import Diverged, Training, train
from raysearch.train.result import write_result
from raysearch.train.stage import open_training_data

STAGES = [
    {"epochs": 2, "label_smoothing": 0.0, "method": {"views": 1, "beta": 0.0, "gamma": 0.0, "aux_weight": 0.0}},
    {"epochs": 1, "image_size": 24, "augment": {"mixing": "ricap"}, "optimizer": {"lr": 0.01, "warmup_epochs": 0}},
]


@pytest.fixture
def folder(tmp_path):
    return TrialPaths(tmp_path / "trial")


@pytest.fixture
def staged(config):
    base = config().model_dump()
    trial = {**base["trial"], "epochs": None, "stages": STAGES}
    return TrainingConfig.model_validate({**base, "trial": trial})


@pytest.fixture(scope="session")
def digits24(session_cache):
    return open_dataset(DataConfig(source="digits", train_per_class=4, held_out_per_class=4), 24)


def test_each_stage_trains_with_its_values(staged, digits24, folder, host, metrics_of):
    assert train(staged, digits24, folder, host())
    lines = metrics_of(folder)
    assert [set(line["train"]) for line in lines] == [
        {"loss", "ce", "rce"},
        {"loss", "ce", "rce"},
        {"loss", "ce", "rce", "cr", "mt", "aux_ce", "aux_rce"},
    ]
    # Two stages, two schedules: cosine from the first's 0.05 and from the second's 0.01.
    assert lines[0]["lr"] > 0.02
    assert 0 < lines[2]["lr"] < 0.01


def test_every_evaluation_of_a_staged_training_is_at_the_last_size(staged, digits24, folder, host):
    training = Training(staged, digits24, folder, host(), 0)
    assert [stage.batches.images.shape[1] for stage in training.stages] == [16, 24]
    assert training.dataset.splits["held_out"].images.shape[1] == 24 == staged.trial.inference_size


def test_a_stage_starts_from_the_last_ones_student_and_teacher(staged, digits24, folder, host):
    training = Training(staged, digits24, folder, host(dies_after=2), 0)
    with pytest.raises(KeyboardInterrupt):
        training.run()
    weights = {role: {k: v.clone() for k, v in m.state_dict().items()} for role, m in training.roles.items()}
    resumed = Training(staged, digits24, folder, host(), 0)
    resumed._start()
    for role, classifier in resumed.roles.items():
        for name, tensor in classifier.state_dict().items():
            assert torch.equal(tensor, weights[role][name])
    assert resumed.stages[1].steps_before == 4


@pytest.mark.parametrize("reports", [1, 2])
def test_a_resumed_staged_training_gives_the_same_numbers(
    reports, staged, digits24, folder, tmp_path, host, metrics_of
):
    whole = TrialPaths(tmp_path / "whole")
    train(staged, digits24, whole, host())
    with pytest.raises(KeyboardInterrupt):
        train(staged, digits24, folder, host(dies_after=reports))
    assert train(staged, digits24, folder, host())
    assert metrics_of(folder) == metrics_of(whole)


def test_accumulated_batches_make_the_step_of_one_large_batch(config, digits, tmp_path, host):
    """Without batch statistics and randomness, the gradients of two halves are those of the whole batch."""
    plain = {
        "backbone": "vit_tiny_patch16_224",
        "epochs": 1,
        "dropout": 0.0,
        "method": {"views": 1, "beta": 0.0, "gamma": 0.0, "aux_weight": 0.0},
        "augment": {"crop": "none", "hflip": 0.0, "erasing": 0.0, "mixing": "none"},
    }
    weights = []
    for name, batch_size, accumulation in (("whole", 40, 1), ("halves", 20, 2)):
        paths = TrialPaths(tmp_path / name)
        train(config(**plain, batch_size=batch_size, accumulation=accumulation), digits, paths, host())
        weights.append(load_file(paths.weights("student")))
    for key, tensor in weights[0].items():
        torch.testing.assert_close(tensor, weights[1][key], rtol=1e-4, atol=1e-5)


def test_stubborn_classes_have_the_lowest_recall_in_the_latest_evaluation(config, digits, folder, host):
    stubborn = {"probability": 1.0, "share": 0.2, "update_every": 2}
    training = Training(config(augment={"stubborn": stubborn}), digits, folder, host(), 0)
    assert training.is_stubborn is None
    training.run()
    labels = digits.splits["held_out"].labels
    flags = training.is_stubborn.numpy()
    assert flags.sum() == 2
    # The evaluation after epoch 2 decided; epoch 3 trained with it.
    assert torch.equal(training.stages[0].batches.is_stubborn, training.is_stubborn)
    assert flags.shape == (len(np.unique(labels)),)


@pytest.mark.parametrize(("eval_every", "update_every"), [(3, 2), (2, 3)])
def test_an_update_of_stubborn_classes_has_an_evaluation(
    eval_every, update_every, config, digits, folder, host, metrics_of
):
    stubborn = {"probability": 1.0, "update_every": update_every}
    with pytest.raises(KeyboardInterrupt):
        train(config(eval_every=eval_every, augment={"stubborn": stubborn}), digits, folder, host(dies_after=1))
    train(config(eval_every=eval_every, augment={"stubborn": stubborn}), digits, folder, host())
    assert [line["epoch"] for line in metrics_of(folder) if "held_out" in line] == [2, 3]


def test_predictions_of_an_earlier_training_decide_the_stubborn_classes(finished, config, digits, folder, host):
    _, earlier, _ = finished
    path = earlier.predictions("student-final")
    stubborn = {"probability": 0.5, "predictions": str(path), "update_every": 100}
    training = Training(config(epochs=1, augment={"stubborn": stubborn}), digits, folder, host(), 0)
    stored = read_predictions(path)
    found = stored.probs.argmax(1) == stored.labels
    recall = np.array([found[stored.labels == c].mean() for c in range(10)])
    assert recall[training.is_stubborn.numpy()].max() <= recall[~training.is_stubborn.numpy()].min()
    assert training.is_stubborn.sum() == 2


def test_predictions_on_other_data_cannot_decide_stubborn_classes(finished, config, digits, folder, host):
    _, earlier, _ = finished
    stubborn = {"probability": 0.5, "predictions": str(earlier.predictions("student-final"))}
    other = type(digits)(**{**digits.__dict__, "fingerprint": "another"})
    with pytest.raises(PredictionsError, match="got held_out of different data"):
        Training(config(augment={"stubborn": stubborn}), other, folder, host(), 0)


def test_the_same_seed_gives_the_same_numbers_whatever_ran_before(config, digits, tmp_path, host, metrics_of):
    first, second = TrialPaths(tmp_path / "first"), TrialPaths(tmp_path / "second")
    train(config(epochs=1), digits, first, host())
    torch.manual_seed(999)
    torch.rand(17)
    np.random.seed(3)
    train(config(epochs=1), digits, second, host())
    assert metrics_of(first) == metrics_of(second)


def test_loader_workers_change_no_number(config, digits, tmp_path, host, metrics_of):
    first, second = TrialPaths(tmp_path / "first"), TrialPaths(tmp_path / "second")
    train(config(epochs=1), digits, first, host())
    train(config(epochs=1), digits, second, host(), loader_workers=2)
    assert metrics_of(first) == metrics_of(second)


def test_features_are_contrasted_through_a_projector_that_is_trained_and_not_kept(config, digits, folder, host):
    training = Training(config(epochs=1, method={"contrast": "features"}), digits, folder, host(), 0)
    before = [p.detach().clone() for p in training.task.student.projector.parameters()]
    training.run()
    after = list(training.task.student.projector.parameters())
    assert all(not torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert not any("projector" in name for name in load_file(folder.weights("student")))


def test_a_stage_list_is_one_training_in_total():
    trial = TrialConfig(stages=STAGES)
    assert (trial.total_epochs, trial.inference_size, trial.has_aux_head) == (3, 24, True)
    assert [stage.epochs for stage in trial.schedule] == [2, 1]
    assert trial.schedule[0].method.alpha == trial.method.alpha


def test_gradients_that_overflow_end_the_training_with_the_reason(config, digits, folder, host):
    training = Training(config(), digits, folder, host(), 0)
    stem = training.task.student.classifier.backbone.conv_stem.weight
    stem.register_hook(lambda gradient: gradient * float("inf"))
    with pytest.raises(Diverged, match="not finite in epoch 1"):
        training.run()


def test_gradients_that_overflow_in_the_last_step_are_found_by_the_evaluation(config, digits, folder, host):
    training = Training(config(epochs=1), digits, folder, host(), 0)
    steps = iter([1.0, float("inf")])
    stem = training.task.student.classifier.backbone.conv_stem.weight
    stem.register_hook(lambda gradient: gradient * next(steps))
    with pytest.raises(Diverged, match="held-out probabilities are not finite in epoch 1"):
        training.run()


def test_several_crops_run_once_with_the_kept_weights(config, digits, folder, host):
    training = config(inference={"mirror": True, "tencrop": True})
    train(training, digits, folder, host())
    result = write_result(folder, 0, "COMPLETE", "accuracy", 3, "wrn_10_1", {})
    assert set(result["views"]) == set(VIEWS)
    for view in VIEWS:
        stored = read_predictions(folder.predictions(view))
        assert result["views"][view]["accuracy"] == pytest.approx((stored.probs.argmax(1) == stored.labels).mean())
        center = str(view_parts(view)._replace(crops="center"))
        assert result["views"][view]["epoch"] == result["views"][center]["epoch"]
        assert stored.weights_sha256 == read_predictions(folder.predictions(center)).weights_sha256
    assert {"mirror", "tencrop"}.isdisjoint(result)


def test_tencrop_runs_after_a_process_died_before_it(config, digits, folder, host, monkeypatch):
    training = config(inference={"tencrop": True})
    with monkeypatch.context() as dying:
        dying.setattr(Training, "_run_other_modes", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            train(training, digits, folder, host())
    assert not folder.predictions("student-final-tencrop").exists()
    train(training, digits, folder, host())
    assert folder.predictions("student-final-tencrop").exists()


def _interrupt(training):
    raise KeyboardInterrupt


def test_merged_data_keep_the_weights_of_the_last_evaluation(config, tmp_path, host):
    training = config(epochs=4)
    data = training.data.model_copy(update={"merged_held_out_per_class": 1})
    training = training.model_copy(update={"data": data})
    folder = TrialPaths(tmp_path / "merged")
    dataset = open_training_data(training)
    assert len(dataset.splits["train"]) == 70
    train(training, dataset, folder, host())
    result = write_result(folder, 0, "COMPLETE", "accuracy", 4, "wrn_10_1", {})
    assert {figures["epoch"] for figures in result["views"].values()} == {4}
    assert any("last evaluation" in note for note in result["notes"])


def test_whole_images_are_stored_for_the_size_that_is_trained(config):
    small_looks = {"augment": {"crop": "resized"}, "image_size": 64, "inference": {"image_size": 16}}
    assert open_training_data(config(**small_looks)).config.stored_side == 73
