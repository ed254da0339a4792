"""Building blocks of the figures: shares, the confusion matrix, and the bins of the calibration error."""

from dataclasses import dataclass

import numpy as np

from raysearch.ensemble.calibration import BINS, assign_bins
from raysearch.evaluate.samples import Samples


@dataclass(frozen=True)
class Figure:
    """A value and the ends of its 95 % interval."""

    value: float
    low: float
    high: float


def count_confusion(samples: Samples, num_classes: int) -> np.ndarray:
    """int64 [true classes, predicted classes]: number of images."""
    cells = np.bincount(samples.labels * num_classes + samples.predicted, minlength=num_classes**2)
    return cells.reshape(num_classes, num_classes)


def compute_shares(counts: np.ndarray, totals: np.ndarray) -> np.ndarray:
    """float64 ``counts / totals``; NaN where the total is 0."""
    return np.where(totals > 0, counts / np.maximum(totals, 1), np.nan)


def encode_bins(confidence: np.ndarray) -> np.ndarray:
    """float64 [samples, bins]: 1 in the bin of a confidence (`assign_bins`), else 0."""
    return (assign_bins(confidence)[:, None] == np.arange(BINS)).astype(np.float64)
