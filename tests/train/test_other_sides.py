"""Evaluations in other inference modes, and their latencies."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from raysearch.config import TrialConfig
from raysearch.data.dataset import open_dataset
from raysearch.errors import UserError
from raysearch.io import read_json, sha256
from raysearch.models import build_classifier, infer
from raysearch.paths import TrialPaths, view_parts
from raysearch.predictions import read_predictions
from raysearch.section import validate
from raysearch.train.figures import accuracy, log_loss
from raysearch.train.inference_mode import default_inference_mode
from raysearch.train.loop import Training, train
from raysearch.train.resource_check import Cost, Seconds, check_fit, list_image_sizes
from raysearch.train.result import write_result
from raysearch.train.stage import open_training_data

SIDES = {"inference": {"also_at": [24, 20]}}


@pytest.fixture(scope="module")
def seen(finished, digits, tmp_path_factory):
    """Folder and result of the training of `finished`, also evaluated mirrored, with TenCrop, and at 20 and 24 px."""
    training, _, _ = finished
    inference = training.trial.inference.model_copy(update={"also_at": [24, 20], "mirror": True, "tencrop": True})
    training = training.model_copy(update={"trial": training.trial.model_copy(update={"inference": inference})})
    paths = TrialPaths(tmp_path_factory.mktemp("sides") / "0003")
    torch.set_num_threads(1)
    assert train(training, digits, paths, Silent(), trial_number=3)
    return paths, write_result(paths, 3, "COMPLETE", "accuracy", 3, "wrn_10_1", {})


class Silent:
    def __init__(self, is_stopping=False):
        self.is_stopping = is_stopping

    def report(self, metrics):
        pass

    def should_stop(self):
        return self.is_stopping


@pytest.mark.parametrize("role", ["student", "teacher"])
@pytest.mark.parametrize("side", [20, 24])
def test_predictions_at_another_side_are_of_the_kept_weights_on_images_of_that_side(role, side, seen, digits):
    paths, _ = seen
    classifier = build_classifier("wrn_10_1", 10, 16, has_aux_head=True)
    classifier.load_state_dict(load_file(paths.weights(role)))
    images = open_dataset(digits.config, side, ("train", "held_out")).splits["held_out"].images
    inference = infer(classifier.to(memory_format=torch.channels_last), images)
    center = read_predictions(paths.predictions(f"{role}-final"))
    for head, probs in (("final", inference.final), ("fused", inference.fused(0.3))):
        stored = read_predictions(paths.predictions(f"{role}-{head}-{side}px"))
        np.testing.assert_array_equal(stored.probs, probs)
        assert stored.weights_sha256 == center.weights_sha256 == sha256(paths.weights(role))
        assert (stored.sample_ids, stored.fingerprint, stored.trial_number) == (
            center.sample_ids,
            center.fingerprint,
            3,
        )
        assert np.abs(stored.probs - center.probs).max() > 1e-3


def test_every_stored_view_has_its_figures_in_the_result(seen):
    paths, result = seen
    assert [view for view in paths.stored_views() if view.startswith("teacher-fused")] == [
        "teacher-fused",
        "teacher-fused-20px",
        "teacher-fused-24px",
        "teacher-fused-mirror",
        "teacher-fused-tencrop",
    ]
    assert set(result["views"]) == set(paths.stored_views())
    assert len(result["views"]) == 20
    for view, figures in result["views"].items():
        stored = read_predictions(paths.predictions(view))
        assert figures["accuracy"] == pytest.approx(accuracy(stored.probs, stored.labels))
        assert figures["log_loss"] == pytest.approx(log_loss(stored.probs, stored.labels))
        assert figures["epoch"] == result["views"][f"{view_parts(view).role}-final"]["epoch"]
        assert ("best_weight" in figures) == view_parts(view).is_fused


def test_other_inference_modes_do_not_change_the_training(seen, finished, metrics_of):
    assert metrics_of(seen[0]) == metrics_of(finished[1])
    for role in ("student", "teacher"):
        assert sha256(seen[0].weights(role)) == sha256(finished[1].weights(role))


def test_each_inference_mode_has_a_latency(seen):
    latency_ms = seen[1]["latency_ms"]
    assert set(latency_ms) == {"center", "mirror", "tencrop", "20px", "24px"}
    assert all(0 < value < 1000 for value in latency_ms.values())
    # Ten crops of 16 px are ten times as much to compute: something is left of it, however busy the machine.
    assert latency_ms["tencrop"] > 2 * latency_ms["center"]


def test_the_fastest_evaluation_counts(config, digits, tmp_path, host, monkeypatch):
    clock = iter(
        [0.0, 4.0, 10.0, 13.0, 20.0, 22.0, 30.0, 38.0]
    )  # evaluations of student and teacher after each of two epochs
    training = Training(config(epochs=2), digits, TrialPaths(tmp_path), host(), 0)
    monkeypatch.setattr("raysearch.train.inference_mode.time.perf_counter", lambda: next(clock))
    training.run()
    assert read_json(training.paths.info)["latency_ms"] == {"center": 1000 * 2 / 40}


def test_a_training_that_is_asked_to_stop_runs_the_other_inference_modes_first(config, digits, tmp_path):
    paths = TrialPaths(tmp_path)
    assert train(config(**SIDES), digits, paths, Silent(is_stopping=True)) is False
    views = write_result(paths, 0, "PRUNED", "accuracy", 3, "wrn_10_1", {})["views"]
    assert {"student-final-20px", "teacher-fused-24px"} <= set(views)


def test_other_inference_modes_run_after_a_resumed_training_died_before_them(
    config, digits, tmp_path, host, monkeypatch
):
    paths, training = TrialPaths(tmp_path), config(**SIDES)
    train(training, digits, paths, host(stops=lambda reports: reports == 1))
    assert "other_views" in read_json(paths.info)
    with monkeypatch.context() as dying:
        dying.setattr(Training, "_run_other_modes", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            train(training, digits, paths, host())
    train(training, digits, paths, host())
    for view in paths.stored_views():
        weights = sha256(paths.weights(view_parts(view).role))
        assert read_predictions(paths.predictions(view)).weights_sha256 == weights


def _interrupt(training):
    raise KeyboardInterrupt


def test_images_of_other_sides_are_decoded_before_the_training(config, tmp_path, monkeypatch):
    monkeypatch.setenv("RAYSEARCH_CACHE", str(tmp_path))
    counts = []
    for sides in ([], [24, 20]):
        open_training_data(config(inference={"also_at": sides}))
        counts.append(sum(path.suffix == ".arrow" for path in tmp_path.rglob("*")))
    assert counts == [2, 4]  # train and held_out; held_out at two sides more


@pytest.mark.parametrize(
    ("trial", "fault"),
    [
        (
            {"inference": {"also_at": [32]}},
            "inference.also_at must not include the inference size, 32 px, got [32]",
        ),
        (
            {"image_size": 64, "inference": {"image_size": 48, "also_at": [40, 48]}},
            "inference.also_at must not include the inference size, 48 px, got [40, 48]",
        ),
        ({"inference": {"also_at": [40, 40]}}, "inference.also_at must not repeat a side, got [40, 40]"),
        (
            {"inference": {"also_at": [7]}},
            "trial.inference.also_at.0: input should be greater than or equal to 8, got 7",
        ),
        ({"inference": {"also_at": 40}}, "trial.inference.also_at: input should be a valid list, got 40"),
    ],
)
def test_the_inference_size_and_repeated_sides_are_refused(trial, fault):
    with pytest.raises(UserError) as raised:
        validate(TrialConfig, trial, "a.yaml", "trial")
    assert str(raised.value).startswith("a.yaml: ")
    assert fault in str(raised.value)


def test_an_earlier_stage_may_be_trained_at_one_of_the_sides():
    trial = TrialConfig.model_validate(
        {"stages": [{"epochs": 1, "image_size": 24}, {"epochs": 1}], "inference": {"also_at": [24, 48]}}
    )
    assert list_image_sizes(trial) == (24, 32, 48)


def test_mirror_images_without_flips_in_the_training_are_refused():
    mirror = {"inference": {"mirror": True}}
    for flips in ({"augment": {"hflip": 0}}, {"epochs": None, "stages": [{"epochs": 1, "augment": {"hflip": 0}}]}):
        with pytest.raises(UserError, match=r"inference\.mirror needs augment\.hflip > 0 in a stage, got .*hflip: 0$"):
            validate(TrialConfig, mirror | flips, "a.yaml", "trial")
    stages = [{"epochs": 1}, {"epochs": 1, "augment": {"hflip": 0}}]
    trial = TrialConfig.model_validate(mirror | {"stages": stages})
    assert [stage.augment.hflip for stage in trial.schedule] == [0.5, 0]


def test_a_backbone_that_cannot_take_a_side_is_refused_with_the_others_faults():
    trial = TrialConfig.model_validate({"backbone": "convnext_atto", "image_size": 64, "method": {"aux_weight": 0}})
    sides = trial.inference.model_copy(update={"also_at": [72, 8]})
    with pytest.raises(UserError) as raised:
        check_fit(trial.model_copy(update={"inference": sides}), 3)
    (fault,) = raised.value.faults
    assert "'convnext_atto' cannot be used at 8 px" in fault


def test_a_transformer_with_one_size_does_not_accept_other_sides():
    trial = TrialConfig.model_validate(
        {"backbone": "vit_tiny_patch16_224", "image_size": 64, "inference": {"also_at": [80]}}
    )
    with pytest.raises(
        UserError, match=r"trial\.inference\.also_at: got \[80\], but 'vit_tiny\S+' accepts .* remove it"
    ):
        check_fit(trial, 3)


def test_other_sides_are_included_in_the_estimates_of_time_and_disk():
    cost = Cost(0, 10, 0, 0, 0, 0.0, Seconds(step=0.0, pixel=0.0, evaluation=1.0, batch_size=2))
    trial = TrialConfig.model_validate({"epochs": 1, "inference": {"also_at": [40], "mirror": True, "tencrop": True}})
    both = 2 * 7
    assert default_inference_mode(trial).pixels == 32**2
    assert cost.training_s(trial, train=50, held_out=7) == both * ((1 + 2 + 10) * 32**2 + 40**2)
    plain = TrialConfig(epochs=1)
    views = 2 * 2 * 7 * (4 * 5 + 40)
    assert cost.predictions_bytes(trial, 7, 5) - cost.predictions_bytes(plain, 7, 5) == 3 * views
