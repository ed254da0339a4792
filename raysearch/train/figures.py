"""Figures of probabilities against labels, and the smoothed curve that decides between epochs."""

from collections.abc import Sequence

import numpy as np

from raysearch.config import Objective

MIN_PROB = 1e-12
"""Probabilities are clipped here before their logarithm is taken."""
WINDOW = 3
"""Looks that the trailing mean spans."""


def accuracy(probs: np.ndarray, labels: np.ndarray) -> float:
    """Share of samples whose largest probability is the label's. ``probs`` [samples, classes]."""
    return float((probs.argmax(1) == labels).mean())


def log_loss(probs: np.ndarray, labels: np.ndarray) -> float:
    """Mean of -log p(label), in nats."""
    return float(-np.log(np.clip(probs[np.arange(len(labels)), labels], MIN_PROB, None)).mean())


def recalls(probs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Share of each class's samples that are found, float64 [classes]; NaN for a class without samples."""
    samples = np.bincount(labels, minlength=probs.shape[1])
    found = np.bincount(labels[probs.argmax(1) == labels], minlength=probs.shape[1])
    return np.where(samples > 0, found / np.maximum(samples, 1), np.nan)


def smoothed(curve: Sequence[float]) -> list[float]:
    """The trailing mean over `WINDOW` looks; over fewer at the start."""
    return [sum(part) / len(part) for end in range(1, len(curve) + 1) if (part := curve[max(0, end - WINDOW) : end])]


def select_evaluation(curve: Sequence[float], objective: Objective, keeps_latest: bool) -> tuple[int, float]:
    """Index and value of the look whose weights are kept: `select_best_evaluation`, or the latest and its smoothed value."""
    return (len(curve) - 1, smoothed(curve)[-1]) if keeps_latest else select_best_evaluation(curve, objective)


def select_best_evaluation(curve: Sequence[float], objective: Objective) -> tuple[int, float]:
    """Index and value of the best of the smoothed curve; of equals the latest. The curve must not be empty."""
    values = smoothed(curve)
    best = max(values) if objective == "accuracy" else min(values)
    return max(i for i, value in enumerate(values) if value == best), best
