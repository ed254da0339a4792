"""How good a soft vote is: accuracy, and log loss. Sums are float64, so figures are the same on every machine."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

PROBABILITY_FLOOR = 1e-12
"""Probabilities below this count as this in the log loss, so that one sure mistake is not infinite."""


@dataclass(frozen=True)
class Score:
    """Accuracy and mean log loss (natural log) on one split."""

    accuracy: float
    log_loss: float

    @property
    def rank(self) -> tuple[float, float]:
        """Greater is better: accuracy, then log loss."""
        return self.accuracy, -self.log_loss


def weighted_mean(probs: Sequence[np.ndarray], weights: Sequence[float] | np.ndarray) -> np.ndarray:
    """float64 [samples, classes]: the sum of weight times probabilities, over the weights that are not 0."""
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


def score(probs: np.ndarray, labels: np.ndarray) -> Score:
    """Accuracy and log loss of float [samples, classes]."""
    return Score(float(is_correct(probs, labels).mean()), float(log_losses(probs, labels).mean()))


def score_of_sum(right: int, label_sum: np.ndarray, size: int) -> Score:
    """The score of the mean of ``size`` candidates that gets ``right`` samples right.

    ``label_sum`` float [samples]: the sum of the label's probabilities.
    """
    return Score(right / len(label_sum), float(negative_log(label_sum / size).mean()))


def negative_log(probs: np.ndarray) -> np.ndarray:
    """-log of each probability, or of `PROBABILITY_FLOOR` where it is below that."""
    return -np.log(np.maximum(probs, PROBABILITY_FLOOR))
