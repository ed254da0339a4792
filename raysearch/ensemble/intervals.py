"""Intervals of what was measured on some samples, for other samples like them."""

from dataclasses import dataclass
from math import sqrt

import numpy as np

CONFIDENCE = 0.95
NORMAL_QUANTILE = 1.959963984540054


@dataclass(frozen=True)
class Gain:
    """Accuracy of the ensemble minus that of the best single candidate, both cross-fitted."""

    accuracy: float
    low: float
    high: float
    confidence: float

    @property
    def is_certain(self) -> bool:
        """Whether the whole interval lies above 0."""
        return self.low > 0


def bootstrap_gain(differences: np.ndarray, folds: int, resamples: int, rng: np.random.Generator) -> Gain:
    """Mean of the paired ``differences`` [deals, samples] of a cross-fit, with its percentile interval.

    The mean of n independent samples is resampled by n draws (Efron and Tibshirani 1993, 13.3). Here the selections of
    a deal's ``folds`` share most of the samples that chose, so that what misled one misled the others: the variance is
    1 / deals + folds / (folds - 1) times that of one deal's independent samples (Nadeau and Bengio 2003, corrected
    resampled t), and a resample has so many times fewer draws.
    """
    deals, n = differences.shape
    draws = max(1, round(n / (1 / deals + folds / (folds - 1))))
    means = [differences[rng.integers(deals, size=draws), rng.integers(n, size=draws)].mean() for _ in range(resamples)]
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Gain(float(differences.mean()), float(low), float(high), CONFIDENCE)


def share_interval(share: float, n: int) -> tuple[float, float]:
    """Interval of a share of ``n`` samples (Wilson 1927), which is no point where all samples are right.

    For a cross-fitted share it is about right: a mean over several deals varies a little less, and what another draw of
    samples would have chosen adds a little.
    """
    z2 = NORMAL_QUANTILE**2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = NORMAL_QUANTILE * sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return max(0.0, centre - half), min(1.0, centre + half)
