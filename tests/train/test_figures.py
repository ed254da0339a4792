import numpy as np
import pytest

from raysearch.train.figures import accuracy, best_look, log_loss, smoothed

PROBS = np.array([[0.7, 0.2, 0.1], [0.1, 0.5, 0.4], [0.3, 0.3, 0.4], [0.9, 0.1, 0.0]], np.float32)
LABELS = np.array([0, 2, 2, 2])


def test_accuracy_by_hand():
    assert accuracy(PROBS, LABELS) == 0.5


def test_log_loss_by_hand_with_probability_zero_clipped():
    # -(ln 0.7 + ln 0.4 + ln 0.4 + ln 1e-12) / 4
    assert log_loss(PROBS, LABELS) == pytest.approx((0.3566749 + 2 * 0.9162907 + 27.6310211) / 4, rel=1e-6)


def test_smoothed_is_the_trailing_mean_of_three():
    assert smoothed([3.0, 5.0, 1.0, 0.0]) == pytest.approx([3.0, 4.0, 3.0, 2.0])


@pytest.mark.parametrize(
    ("curve", "objective", "expected"),
    [
        ([0.5], "accuracy", (0, 0.5)),
        ([0.25, 0.75, 0.5, 0.25], "accuracy", (3, 0.5)),  # 0.25, 0.5, 0.5, 0.5: the latest of equals
        ([0.75, 0.25, 0.5], "log_loss", (2, 0.5)),  # 0.75, 0.5, 0.5
        ([2.0, 1.0, 3.0, 5.0], "log_loss", (1, 1.5)),  # 2, 1.5, 2, 3
        ([2.0, 1.0, 3.0, 5.0], "accuracy", (3, 3.0)),
    ],
)
def test_the_best_look_is_the_latest_best_of_the_smoothed_curve(curve, objective, expected):
    index, value = best_look(curve, objective)
    assert (index, value) == (expected[0], pytest.approx(expected[1]))
