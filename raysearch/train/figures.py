"""Accuracy, balanced accuracy, log loss and recall, and the smoothed curve that selects an epoch."""

from collections.abc import Callable, Sequence

import numpy as np

from raysearch.config import Objective, is_maximized

MIN_PROB = 1e-12
"""Probabilities are clipped to at least this before the logarithm."""
WINDOW = 3
"""Evaluations in the trailing mean."""


def accuracy(probs: np.ndarray, labels: np.ndarray) -> float:
    """Share of samples whose largest probability is at the label. ``probs`` [samples, classes], ``labels``
    [samples]."""
    return float((probs.argmax(1) == labels).mean())


def log_loss(probs: np.ndarray, labels: np.ndarray) -> float:
    """Mean of -log p(label), in nats. ``probs`` [samples, classes], ``labels`` [samples]."""
    return float(-np.log(np.clip(probs[np.arange(len(labels)), labels], MIN_PROB, None)).mean())


def recalls(probs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Recall of each class, float64 [classes]; NaN for a class without samples."""
    samples = np.bincount(labels, minlength=probs.shape[1])
    correct = np.bincount(labels[probs.argmax(1) == labels], minlength=probs.shape[1])
    return np.where(samples > 0, correct / np.maximum(samples, 1), np.nan)


def balanced_accuracy(probs: np.ndarray, labels: np.ndarray) -> float:
    """Mean of the recalls of the classes that have samples. ``probs`` [samples, classes], ``labels`` [samples]."""
    return float(np.nanmean(recalls(probs, labels)))


FIGURES: dict[Objective, Callable[[np.ndarray, np.ndarray], float]] = {
    "accuracy": accuracy,
    "balanced_accuracy": balanced_accuracy,
    "log_loss": log_loss,
}
"""The figures of every evaluation, by name."""


def compute_figures(probs: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """All `FIGURES` of ``probs`` [samples, classes] for ``labels`` [samples]."""
    return {name: compute(probs, labels) for name, compute in FIGURES.items()}


def smooth(curve: Sequence[float]) -> list[float]:
    """The trailing mean over `WINDOW` evaluations, or over all if there are fewer."""
    windows = (curve[max(0, end - WINDOW) : end] for end in range(1, len(curve) + 1))
    return [sum(window) / len(window) for window in windows]


def select_evaluation(curve: Sequence[float], objective: Objective, keeps_latest: bool) -> tuple[int, float]:
    """Index and smoothed value of the evaluation whose weights are kept: the latest, or the best one."""
    return (len(curve) - 1, smooth(curve)[-1]) if keeps_latest else select_best_evaluation(curve, objective)


def select_best_evaluation(curve: Sequence[float], objective: Objective) -> tuple[int, float]:
    """Index and value of the best point of the smoothed curve, the latest of equal ones. The curve must not be
    empty."""
    values = smooth(curve)
    best = max(values) if is_maximized(objective) else min(values)
    return max(i for i, value in enumerate(values) if value == best), best
