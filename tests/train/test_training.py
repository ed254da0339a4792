import numpy as np
import pyarrow as pa
import pytest
import torch
from safetensors.torch import load_file

from raysearch.config import TrainingConfig
from raysearch.data.dataset import open_dataset
from raysearch.errors import UserError
from raysearch.io import read_json, read_yaml, sha256
from raysearch.models import build_classifier, infer
from raysearch.paths import VIEWS, TrialPaths, view_parts
from raysearch.predictions import read_predictions
from raysearch.train.figures import accuracy, log_loss, select_best_evaluation
from raysearch.train.loop import Diverged, train

CENTER_VIEWS = [view for view in VIEWS if view_parts(view).crops == "center"]


@pytest.fixture
def folder(tmp_path):
    return TrialPaths(tmp_path / "it's a trial")


def stored(paths, role):
    """The classifier with a folder's weights, built only from its config."""
    trial = TrainingConfig.model_validate(read_yaml(paths.config)).trial
    classifier = build_classifier(trial.backbone, 10, trial.inference_size, has_aux_head=trial.has_aux_head)
    classifier.load_state_dict(load_file(paths.weights(role)))
    return classifier.to(memory_format=torch.channels_last)


def test_a_training_leaves_every_file_of_its_folder_and_no_other(finished):
    _, paths, _ = finished
    views = [paths.predictions(view) for view in CENTER_VIEWS]
    roles = [path for role in ("student", "teacher") for path in (paths.weights(role), paths.features(role))]
    expected = {paths.config, paths.info, paths.metrics, paths.resume, paths.lock, *views, *roles}
    assert {path for path in paths.root.rglob("*") if path.is_file()} == expected


def test_the_stored_config_is_the_given_one(finished):
    training, paths, _ = finished
    assert TrainingConfig.model_validate(read_yaml(paths.config)) == training
    info = read_json(paths.info)
    assert info.pop("latency_ms").keys() == {"center"}
    assert info == {
        "precision": "float32",
        "device": "cuda" if torch.cuda.is_available() else "cpu",
        "keeps_latest": False,
        "num_parameters": sum(p.numel() for p in stored(paths, "student").parameters()),
        "notes": ["trial.method.rampup_epochs: 5 is more than half of the epochs; shortened to 1.5"],
    }


def test_every_epoch_is_a_line_that_is_reported(finished, metrics_of):
    _, paths, reports = finished
    lines = metrics_of(paths)
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    assert [{k: v for k, v in line.items() if k != "seconds"} for line in reports] == lines
    assert set(lines[0]["train"]) == {"loss", "ce", "rce", "cr", "mt", "aux_ce", "aux_rce"}
    assert set(lines[0]["held_out"]) == set(CENTER_VIEWS)
    assert [line["seconds"] for line in reports] == sorted(line["seconds"] for line in reports)


@pytest.mark.parametrize("role", ["student", "teacher"])
def test_stored_predictions_come_from_exactly_the_stored_weights(role, finished, digits):
    _, paths, _ = finished
    inference = infer(stored(paths, role), digits.splits["held_out"].images)
    final, fused = (read_predictions(paths.predictions(f"{role}-{head}")) for head in ("final", "fused"))
    np.testing.assert_array_equal(final.probs, inference.final)
    np.testing.assert_array_equal(fused.probs, inference.fused(0.3))
    assert final.weights_sha256 == fused.weights_sha256 == sha256(paths.weights(role))
    features = pa.ipc.open_file(paths.features(role)).read_all()
    assert tuple(features["sample_id"].to_pylist()) == final.sample_ids
    np.testing.assert_array_equal(np.array(features["features"].to_pylist(), np.float32), inference.features)


def test_stored_predictions_are_of_the_data_and_the_trial(finished, digits):
    _, paths, _ = finished
    split = digits.splits["held_out"]
    for view in CENTER_VIEWS:
        predictions = read_predictions(paths.predictions(view))
        assert (predictions.trial_number, predictions.view, predictions.split) == (7, view, "held_out")
        assert (predictions.fingerprint, predictions.classes) == (digits.fingerprint, digits.classes)
        assert predictions.sample_ids == split.sample_ids
        np.testing.assert_array_equal(predictions.labels, split.labels)


def test_stored_predictions_have_the_figures_of_the_best_evaluation_of_their_role(finished, metrics_of):
    _, paths, _ = finished
    lines = metrics_of(paths)
    for view in CENTER_VIEWS:
        curve = [line["held_out"][f"{view.partition('-')[0]}-final"]["accuracy"] for line in lines]
        figures = lines[select_best_evaluation(curve, "accuracy")[0]]["held_out"][view]
        predictions = read_predictions(paths.predictions(view))
        assert accuracy(predictions.probs, predictions.labels) == figures["accuracy"]
        assert log_loss(predictions.probs, predictions.labels) == figures["log_loss"]


def test_the_same_seed_gives_the_same_numbers_and_another_seed_others(
    finished, digits, folder, config, host, metrics_of
):
    _, paths, reports = finished
    torch.manual_seed(99)  # of no influence
    assert train(config(), digits, folder, host())
    assert metrics_of(folder) == metrics_of(paths)
    assert sha256(folder.weights("teacher")) == sha256(paths.weights("teacher"))
    other, other_host = TrialPaths(folder.root / "other"), host()
    train(config(seed=1), digits, other, other_host)
    assert other_host.reports[0]["train"]["ce"] != reports[0]["train"]["ce"]


def test_a_training_resumed_after_an_interruption_ends_like_an_uninterrupted_one(
    finished, digits, folder, config, host, metrics_of
):
    _, whole, _ = finished
    with pytest.raises(KeyboardInterrupt):
        train(config(), digits, folder, host(dies_after=2))
    with folder.metrics.open("a") as file:
        file.write('{"epoch": 3, "torn')  # as a kill in the middle of a write leaves it
    second = host()
    assert train(config(), digits, folder, second)
    assert [line["epoch"] for line in second.reports] == [3]
    assert second.reports[0]["seconds"] > 0
    assert metrics_of(folder) == metrics_of(whole)
    for role in ("student", "teacher"):
        assert sha256(folder.weights(role)) == sha256(whole.weights(role))


def test_a_stop_between_two_batches_still_writes_predictions_and_a_partial_line(
    digits, folder, config, host, metrics_of
):
    assert train(config(), digits, folder, host(stops=lambda reports: reports == 1)) is False
    first, second = metrics_of(folder)
    assert "partial" not in first
    assert (second["epoch"], second["partial"]) == (2, True)
    assert set(second["held_out"]) == set(CENTER_VIEWS)
    assert read_predictions(folder.predictions("teacher-final")).probs.shape == (40, 10)


def test_a_stop_in_the_last_epoch_is_a_stop_too(digits, folder, config, host, metrics_of):
    assert train(config(), digits, folder, host(stops=lambda reports: reports == 2)) is False
    assert [line.get("partial", False) for line in metrics_of(folder)] == [False, False, True]


def test_a_stopped_training_resumes_after_its_last_finished_epoch(finished, digits, folder, config, host, metrics_of):
    _, whole, _ = finished
    train(config(), digits, folder, host(stops=lambda reports: reports == 1))
    assert train(config(), digits, folder, host())
    assert metrics_of(folder) == metrics_of(whole)


def test_a_stop_at_the_end_of_an_epoch_leaves_no_partial_line(digits, folder, config, host, metrics_of):
    small = config(batch_size=40)  # one batch an epoch
    assert train(small, digits, folder, host(stops=lambda reports: reports == 1)) is False
    assert [line.get("partial", False) for line in metrics_of(folder)] == [False, False]


def test_evaluations_are_every_eval_every_epochs_and_at_the_end(digits, folder, config, host, metrics_of):
    listener = host()
    train(config(eval_every=2, method={"gamma": 0.0, "aux_weight": 0.0}), digits, folder, listener)
    assert ["held_out" in line for line in metrics_of(folder)] == [False, True, True]
    assert [line["epoch"] for line in listener.reports] == [2, 3]
    assert set(metrics_of(folder)[-1]["held_out"]) == {"student-final", "teacher-final"}


def test_a_loss_that_is_not_finite_ends_the_training_by_name(digits, folder, config, host):
    wild = config(optimizer={"lr": 1e12, "warmup_epochs": 0})
    with pytest.raises(Diverged, match="not finite in epoch 1"):
        train(wild, digits, folder, host())


def test_a_batch_larger_than_the_train_split_is_refused(digits, folder, config, host):
    with pytest.raises(UserError, match=r"trial.batch_size: a step takes 41 images, but the train split has 40"):
        train(config(batch_size=41), digits, folder, host())


def test_a_warm_up_and_a_ramp_up_longer_than_half_the_run_are_shortened_and_noted(digits, folder, config, host):
    train(config(epochs=1, optimizer={"warmup_epochs": 3}), digits, folder, host())
    assert read_json(folder.info)["notes"] == [
        "trial.optimizer.warmup_epochs: 3 is more than half of the epochs; shortened to 0.5",
        "trial.method.rampup_epochs: 5 is more than half of the epochs; shortened to 0.5",
    ]


def test_it_learns_the_digits(folder, config, host):
    training = config(
        epochs=8,
        augment={"mixing": "none", "erasing": 0.0, "hflip": 0.0},
        method={"ema_decay": 0.9, "aux_weight": 0.0},
        optimizer={"name": "adamw", "lr": 0.01},
    )
    data = training.data.model_copy(update={"train_per_class": 20, "held_out_per_class": 10})
    listener = host()
    train(training, open_dataset(data, 16), folder, listener)
    assert listener.reports[-1]["held_out"]["student-final"]["accuracy"] > 0.6
    assert listener.reports[-1]["held_out"]["teacher-final"]["accuracy"] > 0.6
