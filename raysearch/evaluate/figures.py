"""Figures of samples: shares, confusion, and the bins of the calibration error."""

from dataclasses import dataclass

import numpy as np

from raysearch.ensemble.calibration import BINS, bins_of
from raysearch.evaluate.samples import Samples


@dataclass(frozen=True)
class Figure:
    """A figure and the ends of its 95 % interval."""

    value: float
    low: float
    high: float


def confusion_of(samples: Samples, num_classes: int) -> np.ndarray:
    """int64 [true classes, predicted classes]: images."""
    cells = np.bincount(samples.labels * num_classes + samples.predicted, minlength=num_classes**2)
    return cells.reshape(num_classes, num_classes)


def shares(counts: np.ndarray, totals: np.ndarray) -> np.ndarray:
    """float64, ``counts / totals``; NaN where the total is 0."""
    return np.where(totals > 0, counts / np.maximum(totals, 1), np.nan)


def in_bins(confidence: np.ndarray) -> np.ndarray:
    """float64 [samples, bins]: 1 in the bin that a confidence is in (`bins_of`), else 0."""
    return (bins_of(confidence)[:, None] == np.arange(BINS)).astype(np.float64)
