"""The metrics of an evaluation. A new metric is one record in `METRICS`, which computing, printing and JSON all use.

The order of `METRICS` is the order of the bootstrap's draws, of the rows on the terminal and of the keys in JSON. A new
metric that draws random numbers goes last, so that the intervals of the others do not change.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from raysearch.ensemble.calibration import BINS
from raysearch.ensemble.scores import log_losses
from raysearch.ensemble.weighting import Weighting
from raysearch.evaluate.bootstrap import (
    RESAMPLES,
    calibration_figure,
    draw_means,
    draw_shares,
    percentile_figure,
    share_figure,
)
from raysearch.evaluate.figures import Figure
from raysearch.evaluate.samples import TOP_K, Samples, rank_labels


@dataclass(frozen=True)
class Resampling:
    """The images of a split, with the draws that several figures share."""

    samples: Samples
    num_classes: int
    totals: np.ndarray
    """int64 [classes]: images of each class"""
    recalls: np.ndarray
    """float64 [classes]; NaN for a class without images"""
    recall_draws: np.ndarray
    """float64 [resamples, classes]"""
    rng: np.random.Generator

    @cached_property
    def means(self) -> dict[str, Figure]:
        """The figures of all metrics that are means, from the same resamples of the images."""
        # One array of columns: the random numbers do not depend on the number of metrics.
        values = np.stack(list(self.samples.values.values()), axis=1)
        draws = draw_means(values, self.rng)
        return {
            name: percentile_figure(float(values[:, column].mean()), draws[:, column])
            for column, name in enumerate(self.samples.values)
        }


def show_percent(value: float) -> str:
    return f"{100 * value:.1f}"


def show_number(value: float) -> str:
    return f"{value:.3f}"


@dataclass(frozen=True)
class Metric:
    """One figure of an evaluation. Either ``compute`` or ``per_image`` is given."""

    name: str
    """The key in JSON; the ends of the interval are `<name>_low` and `<name>_high`"""
    label: str
    """The row's name on the terminal"""
    compute: Callable[[Resampling], Figure] | None = None
    """The figure with its interval"""
    per_image: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None
    """(probs float [samples, classes], labels int64 [samples]) -> float64 [samples]: the metric is the mean of these"""
    is_scaled: bool = False
    """Whether the metric uses the probabilities after temperature scaling"""
    min_classes: int = 1
    """The metric is left out for sets with fewer classes"""
    show: Callable[[float], str] = show_percent
    """The value as text"""
    unit: str = " %"

    def __post_init__(self) -> None:
        assert (self.compute is None) != (self.per_image is None), f"{self.name}: compute or per_image, not both"

    def compute_figure(self, resampling: Resampling) -> Figure:
        return self.compute(resampling) if self.compute else resampling.means[self.name]


def _accuracy(resampling: Resampling) -> Figure:
    return _share(resampling.samples.is_correct, resampling.rng)


def _top_accuracy(resampling: Resampling) -> Figure:
    return _share(resampling.samples.is_in_top, resampling.rng)


def _share(is_hit: np.ndarray, rng: np.random.Generator) -> Figure:
    share, n = float(is_hit.mean()), len(is_hit)
    return share_figure(share, n, draw_shares(np.full(RESAMPLES, n), np.asarray(share), rng))


def _balanced_accuracy(resampling: Resampling) -> Figure:
    """The mean of the recalls of the classes that have images.

    Its effective number of images is classes^2 / sum(1 / images of the class): the variance of the mean recall is that
    of a share of this many images. It equals the number of images if all classes have the same size.
    """
    weighting = Weighting.from_labels(resampling.samples.labels, "balanced_accuracy")
    share = weighting.compute_share(weighting.count(resampling.samples.is_correct))
    return share_figure(share, weighting.effective_size, np.nanmean(resampling.recall_draws, axis=1))


def _ece(resampling: Resampling) -> Figure:
    samples = resampling.samples
    return calibration_figure(samples.confidence, samples.is_correct, resampling.rng)


def _ece_scaled(resampling: Resampling) -> Figure:
    samples = resampling.samples
    return calibration_figure(samples.confidence_scaled, samples.is_correct, resampling.rng)


METRICS = (
    Metric("accuracy", "accuracy", _accuracy),
    Metric(f"top{TOP_K}_accuracy", f"top-{TOP_K} accuracy", _top_accuracy, min_classes=TOP_K + 1),
    Metric("balanced_accuracy", "balanced accuracy", _balanced_accuracy),
    Metric("log_loss", "log loss", per_image=log_losses, show=show_number, unit=""),
    Metric("log_loss_scaled", "log loss", per_image=log_losses, is_scaled=True, show=show_number, unit=""),
    Metric("ece", f"calibration error (ECE, {BINS} bins)", _ece),
    Metric("ece_scaled", "calibration error", _ece_scaled, is_scaled=True),
)


def summarize(probs: np.ndarray, probs_scaled: np.ndarray, labels: np.ndarray) -> Samples:
    """Summarize probabilities [samples, classes] before and after temperature scaling, with labels int64 [samples]."""
    return Samples(
        labels=labels,
        predicted=probs.argmax(axis=1),
        is_in_top=rank_labels(probs, labels) < TOP_K,
        confidence=probs.max(axis=1),
        confidence_scaled=probs_scaled.max(axis=1),
        values={
            metric.name: metric.per_image(probs_scaled if metric.is_scaled else probs, labels)
            for metric in METRICS
            if metric.per_image
        },
    )


def compute_figures(resampling: Resampling) -> dict[str, Figure]:
    """The figures by metric, for all metrics that apply to the number of classes."""
    return {
        metric.name: metric.compute_figure(resampling)
        for metric in METRICS
        if resampling.num_classes >= metric.min_classes
    }
