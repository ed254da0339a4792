"""Intervals of what was measured on some samples, for other samples like them.

They resample the samples only. The selection is not repeated within a resample, and folds share most of their samples,
so what another draw of samples would have selected adds a little that these intervals do not hold.
"""

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


def bootstrap_gain(differences: np.ndarray, resamples: int, rng: np.random.Generator) -> Gain:
    """Mean of paired ``differences`` [samples] with its percentile interval (Efron and Tibshirani 1993, 13.3)."""
    n = len(differences)
    means = [differences[rng.integers(n, size=n)].mean() for _ in range(resamples)]
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Gain(float(differences.mean()), float(low), float(high), CONFIDENCE)


def share_interval(share: float, n: int) -> tuple[float, float]:
    """Interval of a share of ``n`` samples (Wilson 1927), which is no point where all samples are right.

    A mean over several deals of folds varies a little less than a share, so that the interval is a little wide for it.
    """
    z2 = NORMAL_QUANTILE**2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = NORMAL_QUANTILE * sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return max(0.0, centre - half), min(1.0, centre + half)
