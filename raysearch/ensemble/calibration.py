"""Calibration error of probabilities, and the temperature that reduces it.

Guo et al., "On Calibration of Modern Neural Networks", ICML 2017: expected calibration error over equal-width bins of
the greatest probability, and temperature scaling. Temperature scaling is applied to probabilities: p^(1/T),
normalised, which equals softmax(z/T) for logits z.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from raysearch.ensemble.scores import PROBABILITY_FLOOR, log_losses

BINS = 15
MIN_TEMPERATURE, MAX_TEMPERATURE = 0.05, 20.0
"""Range of the temperature. The optimum is 0 if all samples are correct, and infinite if uniform probabilities are
best; `raysearch.ensemble.explain` then says that the temperature is at a limit."""
STEPS = 50
"""Maximum number of Newton steps; usually fewer than ten are needed."""
FLAT = 1e-12
"""A slope of the loss (nats) below this is rounding error: if all classes are equally probable, every T is equal."""
_BLOCK = 1 << 18
"""Array elements per block, which bounds the extra memory"""


@dataclass(frozen=True)
class Calibration:
    """Calibration of one partition's cross-fitted probabilities, before and after temperature scaling."""

    temperature: float
    """Fitted to all samples, in [`MIN_TEMPERATURE`, `MAX_TEMPERATURE`]; above 1 if the ensemble is overconfident"""
    bins: int
    ece: float
    """Expected calibration error, in [0, 1]"""
    ece_scaled: float
    """After scaling each fold with the temperature fitted to the other folds"""
    log_loss: float
    log_loss_scaled: float


def calibrate(probs: np.ndarray, labels: np.ndarray, fold_of: np.ndarray) -> Calibration:
    """Calibration of cross-fitted ``probs`` float [samples, classes]; ``fold_of`` int [samples]: each sample's fold.

    The temperature is applied to the shipped ensemble on new images, but it is fitted to the cross-fitted probabilities
    and not to the shipped ensemble's own. The shipped ensemble was selected for its accuracy on these samples, so it is
    more accurate on them than on new images, and a temperature fitted to them would be too low. The ensemble of a fold
    is selected in the same way and is applied to samples that it was not selected on.
    """
    scaled = np.empty(probs.shape)
    for fold in np.unique(fold_of):
        is_in = fold_of == fold
        scaled[is_in] = scale_probs(probs[is_in], fit_temperature(probs[~is_in], labels[~is_in]))
    return Calibration(
        temperature=fit_temperature(probs, labels),
        bins=BINS,
        ece=expected_calibration_error(probs, labels),
        ece_scaled=expected_calibration_error(scaled, labels),
        log_loss=float(log_losses(probs, labels).mean()),
        log_loss_scaled=float(log_losses(scaled, labels).mean()),
    )


def scale_probs(probs: np.ndarray, temperature: float) -> np.ndarray:
    """float64 [samples, classes]: p^(1/T), rows normalised; the ranking of the classes does not change."""
    powers = (probs / probs.max(axis=1, keepdims=True).astype(np.float64)) ** (1 / temperature)
    return powers / powers.sum(axis=1, keepdims=True)


def fit_temperature(probs: np.ndarray, labels: np.ndarray) -> float:
    """The temperature that minimises the mean log loss of ``probs`` float [samples, classes]; relative error 1e-6.

    Exactly `MIN_TEMPERATURE` or `MAX_TEMPERATURE` if the loss still falls there. The loss is convex in b = 1/T. Uses
    Newton's method, and bisects where a step would leave the bracket.
    """
    low, high = 1 / MAX_TEMPERATURE, 1 / MIN_TEMPERATURE
    beta = 1.0
    for step_number in range(STEPS):
        slope, curvature = _derivatives(probs, labels, beta)
        if abs(slope) <= FLAT:
            break
        if step_number == 0 and _falls_beyond(probs, labels, high if slope < 0 else low, slope):
            return MIN_TEMPERATURE if slope < 0 else MAX_TEMPERATURE
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


def _falls_beyond(probs: np.ndarray, labels: np.ndarray, limit: float, slope: float) -> bool:
    """Whether the loss at b = ``limit`` still has a slope of the same sign, or is so flat that its sign is rounding."""
    at_limit, _ = _derivatives(probs, labels, limit)
    return abs(at_limit) <= FLAT or at_limit * slope > 0


def _derivatives(probs: np.ndarray, labels: np.ndarray, beta: float) -> tuple[float, float]:
    """Mean first and second derivative of the log loss in b: E[z] - z_label and Var[z] for z = log p, weights p^b."""
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
    """Mean over samples of |accuracy - confidence| of their bin (Guo et al., eq. 3), for the greatest probability."""
    confidence = probs.max(axis=1).astype(np.float64)
    bin_of = assign_bins(confidence, bins)
    surplus = confidence - (probs.argmax(axis=1) == labels)
    return float(np.abs(np.bincount(bin_of, weights=surplus, minlength=bins)).sum() / len(labels))


def assign_bins(confidence: np.ndarray, bins: int = BINS) -> np.ndarray:
    """int64 [samples]: the bin (from 0) of each greatest probability; a bin includes its upper edge."""
    return np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)


def _blocks(samples: int, classes: int) -> Iterator[slice]:
    size = max(1, _BLOCK // classes)
    for start in range(0, samples, size):
        yield slice(start, start + size)
