"""Confidence intervals of figures measured on a sample of images."""

from dataclasses import dataclass
from math import sqrt

import numpy as np

from raysearch.ensemble.scores import Measured

CONFIDENCE = 0.95
NORMAL_QUANTILE = 1.959963984540054


@dataclass(frozen=True)
class Gain(Measured):
    """Cross-fitted accuracy of one selection minus that of another, with its interval.

    The interval is that of the balanced accuracy if it is given, which is then the objective of the selection.
    """

    accuracy: float
    low: float
    high: float
    confidence: float
    balanced_accuracy: float | None = None

    @property
    def is_certain(self) -> bool:
        """Whether the whole interval lies above 0."""
        return self.low > 0


def bootstrap_gain(
    differences: np.ndarray, folds: int, resamples: int, rng: np.random.Generator, labels: np.ndarray | None = None
) -> Gain:
    """Mean of the paired ``differences`` [partitions, samples] of a cross-fit, with its percentile interval.

    The percentile bootstrap draws n times from n independent samples (Efron and Tibshirani 1993, section 13.3). The
    selections of a partition's ``folds`` are not independent, because they share most of their samples. The variance
    is 1 / partitions + folds / (folds - 1) times the variance for one partition of independent samples (Nadeau and
    Bengio 2003, corrected resampled t-test). To match it, each resample has fewer draws by this factor.

    With ``labels`` int [samples], the gain is in balanced accuracy: the mean of the classes' means.
    """
    partitions, n = differences.shape
    draws = max(1, round(n / (1 / partitions + folds / (folds - 1))))
    if labels is None:
        # A difference of hits has three values: drawing how often each occurs is much faster than drawing samples.
        values, counts = np.unique(differences, return_counts=True)
        means = rng.multinomial(draws, counts / counts.sum(), size=resamples) @ values / draws
    else:
        drawn = ((rng.integers(partitions, size=draws), rng.integers(n, size=draws)) for _ in range(resamples))
        means = np.array([_mean(differences[rows, samples], labels[samples]) for rows, samples in drawn])
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    balanced = None if labels is None else _mean(differences.mean(axis=0), labels)
    return Gain(float(differences.mean()), float(low), float(high), CONFIDENCE, balanced)


def _mean(values: np.ndarray, labels: np.ndarray | None) -> float:
    """The mean of ``values`` [samples]; with ``labels``, the mean over the classes that occur of their means."""
    if labels is None:
        return float(values.mean())
    counts = np.bincount(labels)
    return float((np.bincount(labels, weights=values)[counts > 0] / counts[counts > 0]).mean())


def share_interval(share: float, n: float) -> tuple[float, float]:
    """Wilson's interval (1927) of a ``share`` of ``n`` samples; it has a width even for a share of 0 or 1.

    For a cross-fitted share it is an approximation: averaging over partitions lowers the variance slightly, and the
    dependence of the selection on the samples raises it slightly. In simulations the two cancel, and about 95 % of the
    intervals cover the true accuracy (`benchmarks/coverage.py`).
    """
    z2 = NORMAL_QUANTILE**2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = NORMAL_QUANTILE * sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    # Exactly, the interval contains the share; rounding can exclude a share of 0 or 1.
    return max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))
