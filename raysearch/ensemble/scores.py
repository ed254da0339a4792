"""Accuracy and log loss of a soft vote. Sums are float64, so that figures are the same on every machine."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

PROBABILITY_FLOOR = 1e-12
"""Lower bound of probabilities in the log loss, so that one confident mistake does not make it infinite."""


class Measured:
    """Figures with an accuracy, and with a balanced accuracy if that is the objective of the selection."""

    accuracy: float
    balanced_accuracy: float | None

    @property
    def value(self) -> float:
        """The objective of the selection."""
        return self.accuracy if self.balanced_accuracy is None else self.balanced_accuracy

    @property
    def measure(self) -> str:
        """The objective's name in text."""
        return "accuracy" if self.balanced_accuracy is None else "balanced accuracy"


@dataclass(frozen=True)
class Score(Measured):
    """Accuracy and mean log loss (natural log) on one split."""

    accuracy: float
    log_loss: float
    balanced_accuracy: float | None = None
    """Mean of the recalls of the classes that have samples; None unless it is the objective of the selection"""

    @property
    def rank(self) -> tuple[float, float]:
        """Sort key, greater is better: the objective of the selection, then log loss."""
        return self.value, -self.log_loss


def weighted_mean(probs: Sequence[np.ndarray], weights: Sequence[float] | np.ndarray) -> np.ndarray:
    """float64 [samples, classes]: the sum of weight times probabilities, over the nonzero ``weights`` [candidates]."""
    total = np.zeros(probs[0].shape)
    for candidate in map(int, np.flatnonzero(weights)):
        total += weights[candidate] * probs[candidate].astype(np.float64)
    return total


def is_correct(probs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """bool [samples]: whether the most probable class (the lowest index of ties) is the label."""
    return probs.argmax(axis=1) == labels


def log_losses(probs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """float64 [samples]: -log of the label's probability."""
    return negative_log(probs[np.arange(len(labels)), labels].astype(np.float64))


def negative_log(probs: np.ndarray) -> np.ndarray:
    """-log of each probability, which is clipped to at least `PROBABILITY_FLOOR`."""
    return -np.log(np.maximum(probs, PROBABILITY_FLOOR))
