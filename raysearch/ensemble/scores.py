"""Accuracy and log loss of a soft vote. Sums are float64, so that figures are the same on every machine."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

PROBABILITY_FLOOR = 1e-12
"""Lower bound of probabilities in the log loss, so that one confident mistake does not make it infinite."""


@dataclass(frozen=True)
class Score:
    """Accuracy and mean log loss (natural log) on one split."""

    accuracy: float
    log_loss: float

    @property
    def rank(self) -> tuple[float, float]:
        """Sort key, greater is better: accuracy, then log loss."""
        return self.accuracy, -self.log_loss


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


def score(probs: np.ndarray, labels: np.ndarray) -> Score:
    """Accuracy and log loss of float [samples, classes]."""
    return Score(float(is_correct(probs, labels).mean()), float(log_losses(probs, labels).mean()))


def score_of_sum(right: int, label_sum: np.ndarray, size: int) -> Score:
    """The score of the mean of ``size`` candidates, of which ``right`` samples are correct.

    ``label_sum`` float [samples]: the sum of the candidates' probabilities of the label.
    """
    return Score(right / len(label_sum), float(negative_log(label_sum / size).mean()))


def negative_log(probs: np.ndarray) -> np.ndarray:
    """-log of each probability, which is clipped to at least `PROBABILITY_FLOOR`."""
    return -np.log(np.maximum(probs, PROBABILITY_FLOOR))
