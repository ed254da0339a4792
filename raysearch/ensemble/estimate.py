"""Cross-fitted scores: each sample is scored by a selection that did not use it.

The samples are partitioned into stratified folds. For each fold, the whole selection is repeated on the other folds and
scored on this one. The best single candidate and the plain mean are selected and scored in the same way, so that the
figures are comparable.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from raysearch.ensemble.candidates import Candidates
from raysearch.ensemble.scores import Score, is_correct, log_losses, weighted_mean
from raysearch.ensemble.weighting import Weighting
from raysearch.errors import PredictionsError

MIN_FOLDS = 2

Select = Callable[[Candidates], np.ndarray]
"""library -> float64 [candidates]: weights that sum to 1"""


@dataclass(frozen=True)
class Fold:
    """The left-out samples, and the weights that were selected on all other samples."""

    left_out: np.ndarray
    """int: the samples' indices"""
    weights: Mapping[str, np.ndarray]
    """float64 [candidates] by selector"""


@dataclass(frozen=True)
class Outcome:
    """Results of one selector on each left-out sample, once per partition."""

    hits: np.ndarray
    """float64 [partitions, samples]: 1 where the prediction is correct, else 0"""
    losses: np.ndarray
    """float64 [partitions, samples], nats"""
    weighting: Weighting
    """Of all samples"""

    @property
    def score(self) -> Score:
        counts = self.weighting.count(self.hits > 0, axis=1).sum(axis=1)
        return self.weighting.score(counts, float(self.losses.mean()), len(self.hits))


@dataclass(frozen=True)
class CrossFit:
    """The selections of all folds and their results on the left-out samples."""

    partitions: tuple[tuple[Fold, ...], ...]
    """The folds of each repeat; the folds of one partition contain every sample once"""
    outcomes: Mapping[str, Outcome]
    """By selector"""

    @property
    def folds(self) -> int:
        """Folds per partition: fewer than requested if a class has fewer samples."""
        return len(self.partitions[0])

    @property
    def fold_of(self) -> np.ndarray:
        """int [samples]: each sample's fold in the first partition"""
        numbers = np.empty(sum(len(fold.left_out) for fold in self.partitions[0]), dtype=np.int64)
        for number, fold in enumerate(self.partitions[0]):
            numbers[fold.left_out] = number
        return numbers

    def probs(self, library: Candidates, selector: str) -> np.ndarray:
        """float64 [samples, classes]: predictions of the first partition's selections for their left-out samples."""
        probs = np.empty((len(library.labels), library.classes))
        for fold in self.partitions[0]:
            probs[fold.left_out] = weighted_mean(library.with_samples(fold.left_out), fold.weights[selector])
        return probs


def cross_fit(
    library: Candidates, selectors: Mapping[str, Select], *, folds: int, repeats: int, rng: np.random.Generator
) -> CrossFit:
    """Run each of ``selectors`` on all folds but one and score it on the left-out fold, for ``repeats`` partitions.

    Raises `PredictionsError` if there are fewer than two samples.
    """
    folds = usable_folds(library.labels, folds)
    partitions = tuple(tuple(_select(library, selectors, folds, rng)) for _ in range(repeats))
    return CrossFit(partitions, {name: _score(library, name, partitions) for name in selectors})


def _select(
    library: Candidates, selectors: Mapping[str, Select], folds: int, rng: np.random.Generator
) -> Iterator[Fold]:
    fold_of = stratified_folds(library.labels, folds, rng)
    for fold in range(folds):
        others = library.with_samples(np.flatnonzero(fold_of != fold))
        yield Fold(np.flatnonzero(fold_of == fold), {name: select(others) for name, select in selectors.items()})


def _score(library: Candidates, selector: str, partitions: tuple[tuple[Fold, ...], ...]) -> Outcome:
    hits, losses = np.empty((2, len(partitions), len(library.labels)))
    for number, partition in enumerate(partitions):
        for fold in partition:
            left_out = library.with_samples(fold.left_out)
            probs = weighted_mean(left_out, fold.weights[selector])
            hits[number, fold.left_out] = is_correct(probs, left_out.labels)
            losses[number, fold.left_out] = log_losses(probs, left_out.labels)
    return Outcome(hits, losses, library.weighting)


def usable_folds(labels: np.ndarray, folds: int) -> int:
    """The smaller of ``folds`` and the number of samples in the smallest class, so that each fold has every class.

    At least two: if a class has a single sample, only one of the folds contains it.
    """
    if len(labels) < MIN_FOLDS:
        raise PredictionsError(
            f"cross-fitting needs at least {MIN_FOLDS} held-out samples, got {len(labels)}; hold out more images"
        )
    smallest = int(np.unique(labels, return_counts=True)[1].min())
    return max(MIN_FOLDS, min(folds, smallest))


def stratified_folds(labels: np.ndarray, folds: int, rng: np.random.Generator) -> np.ndarray:
    """int [samples]: the fold of each sample. Fold sizes, in total and within a class, differ by at most one."""
    order = rng.permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    fold_of = np.empty(len(labels), dtype=np.int64)
    fold_of[order] = np.arange(len(labels)) % folds
    return fold_of
