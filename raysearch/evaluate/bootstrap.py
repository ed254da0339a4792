"""95 % intervals from a bootstrap over the images (Efron and Tibshirani 1993): `RESAMPLES` resamples of n images.

Images are drawn from the whole split, not per class, because another split of the source would be drawn in this way.
The percentile interval (their section 13.3) is the middle 95 % of a figure's values over the resamples. It is wrong for
two kinds of figures:

- A share with fewer than `FEW` correct or fewer than `FEW` wrong images. Such resamples vary too little; if all images
  are correct, every resample gives 1. Wilson's interval (1927) is used instead. For a class with 10 images and a recall
  of 0.9, the percentile interval contains the true value in two of three splits, Wilson's in 19 of 20.
- The calibration error. As a sum of absolute values it is biased upwards for few samples, and even more on resamples.
  The percentile interval can lie above the figure itself. See `calibration_figure`.

The number of drawn images of a kind follows a multinomial distribution, so the code draws counts instead of images.
"""

import numpy as np

from raysearch.ensemble.intervals import CONFIDENCE, share_interval
from raysearch.evaluate.figures import Figure, compute_shares, encode_bins

RESAMPLES = 1000
SEED = 0
FEW = 10
ENDS = ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2)
"""Quantiles of the interval's ends"""
_BLOCK = 50
"""Resamples per block, which bounds the memory"""


def draw_totals(totals: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """int64 [resamples, classes]: images per class in each resample; ``totals`` int64 [classes]: in the split."""
    n = totals.sum()
    return rng.multinomial(n, totals / n, size=RESAMPLES)


def draw_shares(totals: np.ndarray, share: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """float64 [resamples, kinds]: the share of correct images of each kind in each resample.

    ``totals`` int [resamples, kinds] is the number of images of each kind; ``share`` float [kinds] is the share in the
    split. NaN where a resample has no image of a kind.
    """
    return compute_shares(rng.binomial(totals, np.nan_to_num(share)), totals)


def draw_means(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """float64 [resamples, columns]: the means of ``values`` [samples, columns] over the images of each resample."""
    n = len(values)
    means = []
    for _ in range(0, RESAMPLES, _BLOCK):
        counts = [np.bincount(rng.integers(n, size=n), minlength=n) for _ in range(_BLOCK)]
        means.append(np.array(counts, dtype=np.float64) @ values / n)
    return np.concatenate(means)


def percentile_figure(value: float, draws: np.ndarray) -> Figure:
    """A figure with the middle 95 % of ``draws``, float64 [resamples], as its interval; ignores NaN."""
    low, high = np.nanquantile(draws, ENDS)
    return Figure(value, float(low), float(high))


def share_figure(share: float, n: float, draws: np.ndarray) -> Figure:
    """A share of ``n`` images: with the interval of its ``draws`` [resamples], or Wilson's if they vary too little."""
    if min(share, 1 - share) * n < FEW - 0.5:  # half an image below FEW absorbs rounding errors
        return Figure(share, *share_interval(share, round(n)))
    return percentile_figure(share, draws)


def calibration_figure(confidence: np.ndarray, is_correct: np.ndarray, rng: np.random.Generator) -> Figure:
    """The expected calibration error with its interval; ``confidence`` float64 and ``is_correct`` bool [samples].

    Uses the basic bootstrap interval, 2 value - draws (Davison and Hinkley 1997, eq. 5.6), which corrects the bias of
    the draws, and extends it to contain the figure. The interval starts at 0 if a perfectly calibrated set with the
    same confidence would show such an error by chance (Broecker and Smith 2007).
    """
    in_bin = encode_bins(confidence)
    value = float(np.abs((in_bin * (confidence - is_correct)[:, None]).mean(axis=0)).sum())
    draws = np.abs(draw_means(in_bin * (confidence - is_correct)[:, None], rng)).sum(axis=1)
    low, high = 2 * value - np.quantile(draws, ENDS[::-1])
    is_chance = value <= np.quantile(_chance_errors(confidence, in_bin, rng), ENDS[1])
    return Figure(value, 0.0 if is_chance else float(np.clip(low, 0, value)), float(max(high, value)))


def _chance_errors(confidence: np.ndarray, in_bin: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """float64 [resamples]: errors if each sample is correct with probability ``confidence``."""
    errors = []
    for _ in range(0, RESAMPLES, _BLOCK):
        surplus = confidence - (rng.random((_BLOCK, len(confidence))) < confidence)
        errors.append(np.abs(surplus @ in_bin / len(confidence)).sum(axis=1))
    return np.concatenate(errors)
