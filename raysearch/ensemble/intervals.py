"""Confidence intervals of figures measured on a sample of images."""

from dataclasses import dataclass
from math import sqrt

import numpy as np

CONFIDENCE = 0.95
NORMAL_QUANTILE = 1.959963984540054


@dataclass(frozen=True)
class Gain:
    """Cross-fitted accuracy of one selection minus that of another, with its interval."""

    accuracy: float
    low: float
    high: float
    confidence: float

    @property
    def is_certain(self) -> bool:
        """Whether the whole interval lies above 0."""
        return self.low > 0


def bootstrap_gain(differences: np.ndarray, folds: int, resamples: int, rng: np.random.Generator) -> Gain:
    """Mean of the paired ``differences`` [partitions, samples] of a cross-fit, with its percentile interval.

    The percentile bootstrap draws n times from n independent samples (Efron and Tibshirani 1993, section 13.3). The
    selections of a partition's ``folds`` are not independent, because they share most of their samples. The variance
    is 1 / partitions + folds / (folds - 1) times the variance for one partition of independent samples (Nadeau and
    Bengio 2003, corrected resampled t-test). To match it, each resample has fewer draws by this factor.
    """
    partitions, n = differences.shape
    draws = max(1, round(n / (1 / partitions + folds / (folds - 1))))
    values, counts = np.unique(differences, return_counts=True)
    # A difference of hits has three values, so drawing how often each occurs is much faster than drawing samples.
    means = rng.multinomial(draws, counts / counts.sum(), size=resamples) @ values / draws
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Gain(float(differences.mean()), float(low), float(high), CONFIDENCE)


def share_interval(share: float, n: int) -> tuple[float, float]:
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
