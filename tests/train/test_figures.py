import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score

from raysearch.ensemble.selection import score
from raysearch.models import Inference
from raysearch.train.figures import accuracy, balanced_accuracy, log_loss, select_best_evaluation, smooth
from raysearch.train.held_out import find_best_fusion, score_views
from raysearch.train.inference_mode import InferenceMode

PROBS = np.array([[0.7, 0.2, 0.1], [0.1, 0.5, 0.4], [0.3, 0.3, 0.4], [0.9, 0.1, 0.0]], np.float32)
LABELS = np.array([0, 2, 2, 2])


def test_accuracy_by_hand():
    assert accuracy(PROBS, LABELS) == 0.5


def test_balanced_accuracy_is_the_mean_recall_of_the_classes_that_have_samples():
    probs = np.eye(4)[[0, 0, 0, 1, 0, 3]]
    labels = np.array([0, 0, 0, 0, 1, 3])  # recalls 3/4, 0 and 1; class 2 has no samples
    assert balanced_accuracy(probs, labels) == pytest.approx((0.75 + 0 + 1) / 3)
    assert balanced_accuracy(probs, labels) == pytest.approx(balanced_accuracy_score(labels, probs.argmax(axis=1)))
    assert score(probs, labels, "balanced_accuracy").balanced_accuracy == pytest.approx((0.75 + 0 + 1) / 3)


def test_log_loss_by_hand_with_probability_zero_clipped():
    # -(ln 0.7 + ln 0.4 + ln 0.4 + ln 1e-12) / 4
    assert log_loss(PROBS, LABELS) == pytest.approx((0.3566749 + 2 * 0.9162907 + 27.6310211) / 4, rel=1e-6)


def test_smooth_is_the_trailing_mean_of_three():
    assert smooth([3.0, 5.0, 1.0, 0.0]) == pytest.approx([3.0, 4.0, 3.0, 2.0])


@pytest.mark.parametrize(
    ("curve", "objective", "expected"),
    [
        ([0.5], "accuracy", (0, 0.5)),
        ([0.25, 0.75, 0.5, 0.25], "accuracy", (3, 0.5)),  # 0.25, 0.5, 0.5, 0.5: the latest of equals
        ([0.25, 0.75, 0.5], "balanced_accuracy", (2, 0.5)),
        ([0.75, 0.25, 0.5], "log_loss", (2, 0.5)),  # 0.75, 0.5, 0.5
        ([2.0, 1.0, 3.0, 5.0], "log_loss", (1, 1.5)),  # 2, 1.5, 2, 3
        ([2.0, 1.0, 3.0, 5.0], "accuracy", (3, 3.0)),
    ],
)
def test_the_best_evaluation_is_the_latest_best_of_the_smoothed_curve(curve, objective, expected):
    index, value = select_best_evaluation(curve, objective)
    assert (index, value) == (expected[0], pytest.approx(expected[1]))


def inference(final: list[float], aux: list[float] | None) -> Inference:
    """Predictions of two classes, from the probability of the first."""
    probs = [None if p is None else np.array([[x, 1 - x] for x in p], np.float32) for p in (final, aux)]
    return Inference(probs[0], probs[1], np.zeros((len(final), 1), np.float32))


@pytest.mark.parametrize(("configured", "nearest"), [(0.3, 0.3), (0.0, 0.25), (0.28, 0.3), (1.0, 0.45), (0.275, 0.25)])
def test_among_equal_fusion_weights_the_nearest_to_the_configured_one_is_reported(configured, nearest):
    # Right are the second from w = 0 to 0.45, the third from 0.25 on: both are from 0.25 to 0.45.
    found = find_best_fusion(inference([0.1, 0.31, 0.45], [0.2, 0.7, 0.67]), np.array([0, 1, 0]), configured)
    assert found == {"best_weight": nearest, "best_accuracy": pytest.approx(2 / 3)}


def test_the_best_fusion_weight_may_be_either_end():
    labels = np.array([0, 1])
    right, wrong = [0.9, 0.1], [0.05, 0.95]
    assert find_best_fusion(inference(right, wrong), labels, 1.0)["best_weight"] == 0.45
    assert find_best_fusion(inference([0.4, 0.2], [0.55, 0.45]), labels, 0.0) == {
        "best_weight": 0.7,
        "best_accuracy": 1.0,
    }
    assert find_best_fusion(inference([0.0, 1.0], [0.6, 0.4]), labels, 0.0) == {
        "best_weight": 0.85,
        "best_accuracy": 1.0,
    }


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [
        (InferenceMode("center", 32), ""),
        (InferenceMode("mirror", 32, "mirror"), "-mirror"),
        (InferenceMode("tencrop", 37, "tencrop", 32), "-tencrop"),
        (InferenceMode("40px", 40), "-40px"),
    ],
)
def test_figures_of_fused_views_include_the_best_weight(mode, suffix):
    inferences = {"student": inference([0.6, 0.6], [0.9, 0.2]), "teacher": inference([0.75, 0.5], None)}
    found = score_views(inferences, np.array([0, 1]), 0.25, mode)
    assert list(found) == [f"{view}{suffix}" for view in ("student-final", "student-fused", "teacher-final")]
    assert found[f"teacher-final{suffix}"] == {
        "accuracy": 0.5,
        "balanced_accuracy": 0.5,
        "log_loss": pytest.approx(-(np.log(0.75) + np.log(0.5)) / 2),
    }
    fused = found[f"student-fused{suffix}"]
    # 0.75 * 0.6 + 0.25 * 0.9 = 0.675; 1 - (0.75 * 0.6 + 0.25 * 0.2) = 0.5; the second is right beyond w = 0.25.
    assert fused["log_loss"] == pytest.approx(-(np.log(0.675) + np.log(0.5)) / 2, rel=1e-5)
    assert (fused["best_weight"], fused["best_accuracy"]) == (0.3, 1.0)


@pytest.mark.parametrize("twentieths", range(21))
def test_labels_of_a_fusion_weight_find_that_weight(twentieths):
    rng = np.random.default_rng(0)
    mixed = Inference(*(rng.dirichlet(np.ones(4), 300).astype(np.float32) for _ in range(2)), np.zeros((300, 1)))
    weight = twentieths / 20
    labels = mixed.fused(weight).argmax(1)
    assert find_best_fusion(mixed, labels, 0.3) == {"best_weight": weight, "best_accuracy": 1.0}
    labels[:30] = (labels[:30] + 1) % 4
    found = find_best_fusion(mixed, labels, 0.3)
    assert found["best_accuracy"] == accuracy(mixed.fused(found["best_weight"]), labels)
