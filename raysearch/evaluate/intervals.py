"""Intervals of figures that are shares of samples."""

from math import sqrt

NORMAL_QUANTILE_95 = 1.959963984540054


def wilson_interval(share: float, n: int) -> tuple[float, float]:
    """95 % interval of a share seen in ``n`` samples (Wilson 1927, eq. for p' and p'').

    It does not shrink to a point where all samples are right, as a bootstrap of the samples would.
    """
    assert n > 0, f"n > 0 must hold, got {n}"
    z2 = NORMAL_QUANTILE_95**2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = NORMAL_QUANTILE_95 * sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return max(0.0, centre - half), min(1.0, centre + half)
