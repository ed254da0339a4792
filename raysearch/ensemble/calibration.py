"""Whether probabilities are as often right as they say, and one temperature to make them so.

Guo et al., "On Calibration of Modern Neural Networks", ICML 2017: expected calibration error over equal-width bins of
the greatest probability, and temperature scaling, here of probabilities: p^(1/T) normalised, which is softmax(z/T).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from raysearch.ensemble.scores import PROBABILITY_FLOOR, log_losses

BINS = 15
BETA_RANGE = (0.05, 20.0)
"""Within which 1/T is sought: no finite T is best where all samples are right, or where the best guess is none."""
STEPS = 50
"""At most; a handful is enough."""
FLAT = 1e-12
"""A slope of the loss, in nats, that is rounding: where all classes are equally probable, any T is as good."""
_BLOCK = 1 << 18
"""Numbers that are worked on at once"""


@dataclass(frozen=True)
class Calibration:
    """Of the cross-fitted probabilities of one deal of folds, before and after temperature scaling."""

    temperature: float
    """Fitted to all samples; above 1 where the ensemble is too sure of itself"""
    bins: int
    ece: float
    """Expected calibration error, in [0, 1]"""
    ece_scaled: float
    """After scaling each fold by the temperature fitted to the others"""
    log_loss: float
    log_loss_scaled: float


def calibrate(probs: np.ndarray, labels: np.ndarray, fold_of: np.ndarray) -> Calibration:
    """``probs`` float [samples, classes] of samples that did not choose, ``fold_of`` int [samples]."""
    after = np.empty(probs.shape)
    for fold in np.unique(fold_of):
        here = fold_of == fold
        after[here] = scaled(probs[here], fit_temperature(probs[~here], labels[~here]))
    return Calibration(
        temperature=fit_temperature(probs, labels),
        bins=BINS,
        ece=expected_calibration_error(probs, labels),
        ece_scaled=expected_calibration_error(after, labels),
        log_loss=float(log_losses(probs, labels).mean()),
        log_loss_scaled=float(log_losses(after, labels).mean()),
    )


def scaled(probs: np.ndarray, temperature: float) -> np.ndarray:
    """float64 [samples, classes]: p^(1/T), rows normalised; the order of the classes stays as it is."""
    powers = (probs / probs.max(axis=1, keepdims=True).astype(np.float64)) ** (1 / temperature)
    return powers / powers.sum(axis=1, keepdims=True)


def fit_temperature(probs: np.ndarray, labels: np.ndarray) -> float:
    """The temperature with the least mean log loss of ``probs`` float [samples, classes], to about 1e-6 of itself.

    In b = 1/T the loss is convex: Newton's steps, and halving where one would leave what still holds the least.
    """
    low, high = BETA_RANGE
    beta = 1.0
    for _ in range(STEPS):
        slope, curvature = _derivatives(probs, labels, beta)
        if abs(slope) <= FLAT:
            break
        if slope > 0:
            high = beta
        else:
            low = beta
        step = beta - slope / curvature if curvature > 0 else low
        moved = step if low < step < high else (low + high) / 2
        if abs(moved - beta) <= 1e-6 * beta:
            break
        beta = moved
    return 1 / beta


def _derivatives(probs: np.ndarray, labels: np.ndarray, beta: float) -> tuple[float, float]:
    """Mean slope and curvature of the log loss in b: E[z] - z_label and Var[z], z = log p weighted by p^b."""
    slope = curvature = 0.0
    for rows in _blocks(*probs.shape):
        logs = np.log(np.maximum(probs[rows], PROBABILITY_FLOOR, dtype=np.float64))
        weights = np.exp(beta * (logs - logs.max(axis=1, keepdims=True)))
        weights /= weights.sum(axis=1, keepdims=True)
        means = (weights * logs).sum(axis=1)
        slope += float((means - logs[np.arange(len(logs)), labels[rows]]).sum())
        curvature += float((weights * (logs - means[:, None]) ** 2).sum())
    return slope / len(labels), curvature / len(labels)


def expected_calibration_error(probs: np.ndarray, labels: np.ndarray, bins: int = BINS) -> float:
    """Mean over samples of |accuracy - confidence| of their bin (Guo et al., eq. 3), by the greatest probability."""
    confidence = probs.max(axis=1).astype(np.float64)
    bin_of = bins_of(confidence, bins)
    surplus = confidence - (probs.argmax(axis=1) == labels)
    return float(np.abs(np.bincount(bin_of, weights=surplus, minlength=bins)).sum() / len(labels))


def bins_of(confidence: np.ndarray, bins: int = BINS) -> np.ndarray:
    """int64 [samples]: the bin, from 0, of each greatest probability; a bin holds its upper end."""
    return np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)


def _blocks(samples: int, classes: int) -> Iterator[slice]:
    size = max(1, _BLOCK // classes)
    for start in range(0, samples, size):
        yield slice(start, start + size)
