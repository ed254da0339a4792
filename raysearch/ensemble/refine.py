"""Weights refined for log loss, which takes a soft vote's probabilities at their word.

The log loss of a mean is convex in its weights. Expectation-maximization for the proportions of a mixture (McLachlan
and Peel, "Finite Mixture Models", 2000, section 2.8) keeps them on the simplex and never raises it.
"""

from collections.abc import Sequence

import numpy as np

from raysearch.ensemble.scores import PROBABILITY_FLOOR, negative_log

MIN_WEIGHT = 1e-3
"""Members that end below this are dropped, where the log loss stays no worse than it was: each costs a whole model."""


def refined(
    probs: Sequence[np.ndarray],
    labels: np.ndarray,
    weights: np.ndarray,
    *,
    tolerance: float = 1e-5,
    max_steps: int = 5000,
) -> np.ndarray:
    """float64 [candidates]: weights with the least log loss on ``labels``, over the candidates of ``weights`` > 0.

    ``probs`` holds float [samples, classes] a candidate, ``labels`` int [samples], ``weights`` sum to 1. Stops within
    ``tolerance`` (nats a sample) of the least log loss, or after ``max_steps``; never worse than ``weights``.
    """
    members = np.flatnonzero(weights)
    samples = np.arange(len(labels))
    label_probs = np.stack([probs[member][samples, labels] for member in map(int, members)], axis=1, dtype=np.float64)
    start = np.asarray(weights, dtype=np.float64)[members]
    best = _proportions(np.maximum(label_probs, PROBABILITY_FLOOR), start, tolerance, max_steps)
    large = np.where(best >= MIN_WEIGHT, best, 0)
    allowed = _log_loss(label_probs, start)
    for found in (large / large.sum(), best, start):
        if _log_loss(label_probs, found) <= allowed:
            break
    result = np.zeros(len(weights))
    result[members] = found
    return result


def _proportions(label_probs: np.ndarray, start: np.ndarray, tolerance: float, max_steps: int) -> np.ndarray:
    """The weights [members] of a mixture with the greatest likelihood of ``label_probs`` [samples, members].

    A member's gain is the mean of its probability over the mixture's. The log loss is at most the log of the
    greatest gain above the least possible, by Jensen's inequality, which tells when to stop.
    """
    weights = start
    for _ in range(max_steps):
        gains = (1 / (label_probs @ weights)) @ label_probs / len(label_probs)
        if np.log(gains.max()) <= tolerance:
            break
        weights = weights * gains
        weights /= weights.sum()
    return weights


def _log_loss(label_probs: np.ndarray, weights: np.ndarray) -> float:
    return float(negative_log(label_probs @ weights).mean())
