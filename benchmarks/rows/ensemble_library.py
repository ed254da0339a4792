"""Synthetic libraries of candidates, in files that every side reads.

Logits are normal noise, partly shared by all models, plus a margin at the label. The margin sets the accuracy of each
model; accuracies are spread evenly from 55 % to 75 %. Probabilities are the softmax of the logits. With these constants
the two best models differ on 21 to 28 % of the samples, their errors correlate by 0.55 to 0.6, the mean of the best
eight gains 2 to 5 points, and the mean confidence is 49 to 81 %. This resembles networks trained on little data. Unlike
real data, no sample is easier than another, so more samples stay undecided until the last round.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

ACCURACIES = (0.55, 0.75)
IN_COMMON = 0.85
"""Share of the noise variance that all models have in common."""
NOISE = 3.0
"""Standard deviation of a logit. Larger values give more confident models."""


@dataclass(frozen=True)
class Library:
    """Size of a library."""

    models: int
    samples: int
    classes: int
    dtype: str = "float32"

    def write(self, folder: Path) -> None:
        """Write ``probs.npy`` [models, samples, classes] and ``labels.npy`` int64 [samples]; deterministic."""
        rng = np.random.default_rng(0)
        labels = rng.integers(self.classes, size=self.samples)
        common = _noise(rng, self.samples, self.classes)
        shape = self.models, self.samples, self.classes
        probs = np.lib.format.open_memmap(folder / "probs.npy", "w+", self.dtype, shape)
        for model, accuracy in enumerate(rng.permutation(np.linspace(*ACCURACIES, self.models))):
            own = _noise(rng, self.samples, self.classes)
            logits = NOISE * (np.sqrt(IN_COMMON) * common + np.sqrt(1 - IN_COMMON) * own)
            probs[model] = softmax(with_accuracy(logits.astype(np.float32), labels, accuracy))
        probs.flush()
        np.save(folder / "labels.npy", labels)


def _noise(rng: np.random.Generator, samples: int, classes: int) -> np.ndarray:
    return rng.standard_normal((samples, classes), dtype=np.float32)


def with_accuracy(logits: np.ndarray, labels: np.ndarray, accuracy: float) -> np.ndarray:
    """Add one margin to ``logits`` [samples, classes] at the labels, so that ``accuracy`` of the samples are right."""
    rows = np.arange(len(labels))
    others = logits.copy()
    others[rows, labels] = -np.inf
    missing = np.sort(others.max(axis=1) - logits[rows, labels])
    right = round(accuracy * len(labels))
    others[rows, labels] = logits[rows, labels] + (missing[right - 1] + missing[right]) / 2
    return others


def softmax(logits: np.ndarray) -> np.ndarray:
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)
