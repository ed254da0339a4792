"""What an ensemble is worth on samples that did not choose it: cross-fitted figures beside the in-sample ones.

The samples are dealt into stratified folds; for each, the whole selection is repeated on the others and scored
on the one left out. The best single candidate is chosen the same way, so that the gain compares like with like.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from raysearch.ensemble.selection import Score, Selection, is_correct, log_losses, weighted_mean
from raysearch.errors import PredictionsError

CONFIDENCE = 0.95
MIN_FOLDS = 2

Select = Callable[[Sequence[np.ndarray], np.ndarray], Selection]
"""(probs a candidate, labels) -> Selection"""

_log = logging.getLogger(__name__)


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


@dataclass(frozen=True)
class Estimate:
    """Cross-fitted figures; ``folds`` is the number used, which can be fewer than asked for."""

    ensemble: Score
    best_single: Score
    gain: Gain
    folds: int
    repeats: int


class _Rows(Sequence[np.ndarray]):
    """Some samples of every candidate, copied one candidate at a time: a fold never copies the library."""

    def __init__(self, probs: Sequence[np.ndarray], rows: np.ndarray) -> None:
        self.probs, self.rows = probs, rows

    def __len__(self) -> int:
        return len(self.probs)

    def __getitem__(self, index: Any) -> Any:
        return self.probs[index][self.rows]


def cross_fit(
    probs: Sequence[np.ndarray],
    labels: np.ndarray,
    select: Select,
    *,
    folds: int,
    repeats: int,
    bootstrap: int,
    rng: np.random.Generator,
) -> Estimate:
    """Estimate ``select`` and the best single candidate; a sample's results are averaged over ``repeats``.

    ``probs`` holds float [samples, classes] a candidate, ``labels`` int [samples]. The interval resamples the
    samples, not the selections. Raises `PredictionsError` when there are fewer than two samples.
    """
    folds = usable_folds(labels, folds)
    hits = np.zeros((2, len(labels)))
    losses = np.zeros((2, len(labels)))
    for _ in range(repeats):
        fold_of = stratified_folds(labels, folds, rng)
        for fold in range(folds):
            chosen, left_out = np.flatnonzero(fold_of != fold), np.flatnonzero(fold_of == fold)
            selection = select(_Rows(probs, chosen), labels[chosen])
            for row, mean in enumerate(_ensemble_and_single(selection, _Rows(probs, left_out))):
                hits[row, left_out] += is_correct(mean, labels[left_out])
                losses[row, left_out] += log_losses(mean, labels[left_out])
    hits, losses = hits / repeats, losses / repeats
    ensemble, single = (Score(float(h.mean()), float(x.mean())) for h, x in zip(hits, losses, strict=True))
    return Estimate(ensemble, single, bootstrap_gain(hits[0] - hits[1], bootstrap, rng), folds, repeats)


def _ensemble_and_single(selection: Selection, probs: Sequence[np.ndarray]) -> Iterator[np.ndarray]:
    yield weighted_mean(probs, selection.weights)
    yield probs[selection.picks[0]]  # the first pick is the best single candidate


def usable_folds(labels: np.ndarray, folds: int) -> int:
    """At most ``folds``, and no more than the smallest class has samples, so that each fold has every class.

    Never below two: the only sample of a class then falls in one of the folds.
    """
    if len(labels) < MIN_FOLDS:
        raise PredictionsError(
            f"cross-fitting needs at least {MIN_FOLDS} held-out samples, got {len(labels)}; hold out more images"
        )
    smallest = int(np.unique(labels, return_counts=True)[1].min())
    usable = max(MIN_FOLDS, min(folds, smallest))
    if usable < folds:
        _log.warning("cross-fitting with %d folds, not %d: a class has %d held-out samples", usable, folds, smallest)
    return usable


def stratified_folds(labels: np.ndarray, folds: int, rng: np.random.Generator) -> np.ndarray:
    """int [samples]: a fold each; fold sizes, over all and within a class, differ by at most one."""
    order = rng.permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    fold_of = np.empty(len(labels), dtype=np.int64)
    fold_of[order] = np.arange(len(labels)) % folds
    return fold_of


def bootstrap_gain(differences: np.ndarray, resamples: int, rng: np.random.Generator) -> Gain:
    """Mean of paired ``differences`` [samples] with its percentile interval (Efron and Tibshirani 1993, 13.3)."""
    n = len(differences)
    means = [differences[rng.integers(n, size=n)].mean() for _ in range(resamples)]
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Gain(float(differences.mean()), float(low), float(high), CONFIDENCE)
