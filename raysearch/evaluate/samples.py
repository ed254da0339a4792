"""The numbers that an evaluation stores for each image, independent of the number of classes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

TOP_K = 5


@dataclass(frozen=True)
class Samples:
    """Arrays with one number per image. `raysearch.evaluate.metrics.summarize` makes them from probabilities."""

    labels: np.ndarray
    """int64, the true class"""
    predicted: np.ndarray
    """int64, the most probable class (the first of ties)"""
    is_in_top: np.ndarray
    """bool, whether the true class is among the `TOP_K` most probable classes"""
    confidence: np.ndarray
    """float64, the probability of the predicted class"""
    confidence_scaled: np.ndarray
    """The same after temperature scaling"""
    values: Mapping[str, np.ndarray]
    """float64 by metric: the values of metrics that are means over the images"""

    @classmethod
    def concatenate(cls, batches: Sequence["Samples"]) -> "Samples":
        """Join batches in order."""
        first = batches[0]

        def join(name: str) -> np.ndarray:
            return np.concatenate([getattr(batch, name) for batch in batches])

        return cls(
            labels=join("labels"),
            predicted=join("predicted"),
            is_in_top=join("is_in_top"),
            confidence=join("confidence"),
            confidence_scaled=join("confidence_scaled"),
            values={name: np.concatenate([batch.values[name] for batch in batches]) for name in first.values},
        )

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def is_correct(self) -> np.ndarray:
        """bool [samples]"""
        return self.predicted == self.labels


def rank_labels(probs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """int [samples]: how many classes precede the true class by probability; among equal ones the first precedes."""
    own = probs[np.arange(len(labels)), labels][:, None]
    is_before = np.arange(probs.shape[1]) < labels[:, None]
    return ((probs > own) | ((probs == own) & is_before)).sum(axis=1)
