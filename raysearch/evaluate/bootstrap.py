"""95 % intervals by resampling the images (Efron and Tibshirani 1993): `RESAMPLES` draws of n images.

Images are drawn from the whole split, not class by class, as another split of the source would be. The percentile
interval (their section 13.3) is the middle 95 % of a figure's draws. Two kinds of figures it gets wrong:

- A share with fewer than `FEW` images right, or wrong. The draws say too little of what they have hardly any case of,
  and where all are right, every draw says 1. Wilson's interval (1927) stands in. Of a class with 10 images and a recall
  of 0.9, the percentile interval holds the truth in two of three splits, Wilson's in nineteen of twenty.
- The calibration error. As a sum of absolute values it is too large on few samples, and larger still on the draws; the
  percentile interval can lie above the figure itself. See `calibration_figure`.

How many of the n images drawn are of some kind is multinomial, so that counts are drawn and not images.
"""

import numpy as np

from raysearch.ensemble.intervals import CONFIDENCE, share_interval
from raysearch.evaluate.figures import Figure, in_bins, shares

RESAMPLES = 1000
SEED = 0
FEW = 10
ENDS = ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2)
"""Quantiles"""
_BLOCK = 50
"""Resamples worked on at once"""


def drawn_totals(totals: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """int64 [resamples, classes]: images of each class in every resample; ``totals`` int64 [classes] in the split."""
    n = totals.sum()
    return rng.multinomial(n, totals / n, size=RESAMPLES)


def drawn_shares(totals: np.ndarray, share: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """float64 [resamples, kinds]: the shares that resamples with ``totals`` [resamples, kinds] images of a kind have,
    where the split has ``share`` [kinds]; NaN of no images."""
    return shares(rng.binomial(totals, np.nan_to_num(share)), totals)


def drawn_means(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """float64 [resamples, columns]: the means of ``values`` [samples, columns] over the images of every resample."""
    n = len(values)
    means = []
    for _ in range(0, RESAMPLES, _BLOCK):
        counts = [np.bincount(rng.integers(n, size=n), minlength=n) for _ in range(_BLOCK)]
        means.append(np.array(counts, dtype=np.float64) @ values / n)
    return np.concatenate(means)


def percentile_figure(value: float, draws: np.ndarray) -> Figure:
    """The middle 95 % of ``draws``, float64 [resamples], but for NaN."""
    low, high = np.nanquantile(draws, ENDS)
    return Figure(value, float(low), float(high))


def share_figure(share: float, n: float, draws: np.ndarray) -> Figure:
    """A share of ``n`` images: by its ``draws`` [resamples], or Wilson's interval where they say too little."""
    if min(share, 1 - share) * n < FEW - 0.5:
        return Figure(share, *share_interval(share, round(n)))
    return percentile_figure(share, draws)


def calibration_figure(confidence: np.ndarray, is_correct: np.ndarray, rng: np.random.Generator) -> Figure:
    """The expected calibration error of samples, by ``confidence`` float64 [samples].

    What the draws have more than the figure is taken off it (the interval 2 value - draws: Davison and Hinkley 1997,
    eq. 5.6); the interval holds at least the figure. It begins at 0 where a perfectly calibrated set of the same
    confidence would show as large an error by chance (Broecker and Smith 2007).
    """
    in_bin = in_bins(confidence)
    value = float(np.abs((in_bin * (confidence - is_correct)[:, None]).mean(axis=0)).sum())
    draws = np.abs(drawn_means(in_bin * (confidence - is_correct)[:, None], rng)).sum(axis=1)
    low, high = 2 * value - np.quantile(draws, ENDS[::-1])
    is_chance = value <= np.quantile(_chance_errors(confidence, in_bin, rng), ENDS[1])
    return Figure(value, 0.0 if is_chance else float(np.clip(low, 0, value)), float(max(high, value)))


def _chance_errors(confidence: np.ndarray, in_bin: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """float64 [resamples]: errors where each sample is right with the probability of its ``confidence``."""
    errors = []
    for _ in range(0, RESAMPLES, _BLOCK):
        surplus = confidence - (rng.random((_BLOCK, len(confidence))) < confidence)
        errors.append(np.abs(surplus @ in_bin / len(confidence)).sum(axis=1))
    return np.concatenate(errors)
