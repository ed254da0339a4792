"""What the figures need to know of each image: a few numbers, whatever the number of classes."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Self

import numpy as np

from raysearch.ensemble.scores import log_losses

TOP_K = 5


@dataclass(frozen=True)
class Samples:
    """Arrays of a number for each image."""

    labels: np.ndarray
    """int64, the true class"""
    predicted: np.ndarray
    """int64, the first of the most probable classes"""
    is_in_top: np.ndarray
    """bool, whether the true class is among the `TOP_K` most probable"""
    confidence: np.ndarray
    """float64, the probability of the predicted class"""
    confidence_scaled: np.ndarray
    """The same after temperature scaling"""
    losses: np.ndarray
    """float64, -log of the true class's probability"""
    losses_scaled: np.ndarray

    @classmethod
    def of(cls, probs: np.ndarray, probs_scaled: np.ndarray, labels: np.ndarray) -> Self:
        """Of probabilities [samples, classes] before and after temperature scaling."""
        return cls(
            labels=labels,
            predicted=probs.argmax(axis=1),
            is_in_top=_places(probs, labels) < TOP_K,
            confidence=probs.max(axis=1),
            confidence_scaled=probs_scaled.max(axis=1),
            losses=log_losses(probs, labels),
            losses_scaled=log_losses(probs_scaled, labels),
        )

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """One after another."""
        return cls(**{f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(cls)})

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def is_correct(self) -> np.ndarray:
        """bool [samples]"""
        return self.predicted == self.labels


def _places(probs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """int [samples]: how many classes come before the true one; of equally probable classes the first does."""
    own = probs[np.arange(len(labels)), labels][:, None]
    is_before = np.arange(probs.shape[1]) < labels[:, None]
    return ((probs > own) | ((probs == own) & is_before)).sum(axis=1)
