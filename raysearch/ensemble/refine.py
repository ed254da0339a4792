"""Fits the members' weights to the log loss.

The log loss of a weighted mean is convex in the weights. Expectation-maximization for the proportions of a mixture
(McLachlan and Peel, "Finite Mixture Models", 2000, section 2.8) keeps the weights on the simplex and never increases
the loss.
"""

from collections.abc import Sequence

import numpy as np

from raysearch.ensemble.scores import PROBABILITY_FLOOR, negative_log

MIN_WEIGHT = 1e-3
"""Members below this weight are dropped if the log loss does not get worse, because each costs a whole model."""


def refine_weights(
    probs: Sequence[np.ndarray],
    labels: np.ndarray,
    weights: np.ndarray,
    *,
    tolerance: float = 1e-5,
    max_steps: int = 5000,
) -> np.ndarray:
    """float64 [candidates]: weights that minimise the log loss on ``labels``, over the candidates with ``weights`` > 0.

    ``probs`` holds float [samples, classes] for each candidate, ``labels`` is int [samples], and ``weights`` sum to 1.
    Stops within ``tolerance`` (nats per sample) of the minimum, or after ``max_steps``. The result is never worse than
    ``weights``.
    """
    members = np.flatnonzero(weights)
    samples = np.arange(len(labels))
    label_probs = np.stack([probs[member][samples, labels] for member in map(int, members)], axis=1, dtype=np.float64)
    start = np.asarray(weights, dtype=np.float64)[members]
    best = _fit_proportions(np.maximum(label_probs, PROBABILITY_FLOOR), start, tolerance, max_steps)
    large = np.where(best >= MIN_WEIGHT, best, 0)
    allowed = _log_loss(label_probs, start)
    for fitted in (large / large.sum(), best, start):
        if _log_loss(label_probs, fitted) <= allowed:
            break
    result = np.zeros(len(weights))
    result[members] = fitted
    return result


def _fit_proportions(label_probs: np.ndarray, start: np.ndarray, tolerance: float, max_steps: int) -> np.ndarray:
    """The mixture weights [members] that maximise the likelihood of ``label_probs`` [samples, members].

    A member's gain is the mean ratio of its probability to the mixture's. By Jensen's inequality, the log loss exceeds
    its minimum by at most the log of the greatest gain; this is the stopping criterion.
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
