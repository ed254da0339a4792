"""Made-up libraries of candidates, in files that every side reads.

Logits are normal noise, a part of it the same in all models, plus a margin at the label that gives each model an
accuracy of its own, 55 % to 75 % evenly spread; probabilities are their softmax. At these constants the two best
models differ on 21 to 28 % of the samples, their mistakes correlate by 0.55 to 0.6, the mean of the best eight gains 2
to 5 points, and the mean confidence is 49 to 81 %: what networks trained on little data look like. No sample is
easier than another, though, which leaves more of them open to the last round than in life.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

ACCURACIES = (0.55, 0.75)
IN_COMMON = 0.85
"""Share of the noise's variance that is the same in all models."""
NOISE = 3.0
"""Standard deviation of a logit; the greater, the surer the models."""


@dataclass(frozen=True)
class Library:
    """A library's size."""

    models: int
    samples: int
    classes: int
    dtype: str = "float32"

    def write(self, folder: Path) -> None:
        """``probs.npy`` [models, samples, classes] and ``labels.npy`` int64 [samples]; the same at every call."""
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
    """``logits`` [samples, classes], raised at the labels by one margin so that this share of them is right."""
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
