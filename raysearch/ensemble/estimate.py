"""What an ensemble is worth on samples that did not choose it: cross-fitted figures beside the in-sample ones.

The samples are dealt into stratified folds; for each, the whole selection is repeated on the others and scored on the
one left out. The best single candidate and the plain mean are chosen the same way, so that like is compared with like.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from raysearch.ensemble.candidates import Candidates
from raysearch.ensemble.scores import Score, is_correct, log_losses, weighted_mean
from raysearch.errors import PredictionsError

MIN_FOLDS = 2

Choose = Callable[[Candidates], np.ndarray]
"""library -> float64 [candidates]: weights that sum to 1"""


@dataclass(frozen=True)
class Fold:
    """Samples that did not choose, and what the others chose."""

    left_out: np.ndarray
    """int: the samples"""
    weights: Mapping[str, np.ndarray]
    """float64 [candidates] for each way of choosing"""


@dataclass(frozen=True)
class Outcome:
    """What one way of choosing makes of each sample that did not choose, once a deal."""

    hits: np.ndarray
    """float64 [deals, samples]: 1 where it is right, else 0"""
    losses: np.ndarray
    """float64 [deals, samples], nats"""

    @property
    def score(self) -> Score:
        return Score(float(self.hits.mean()), float(self.losses.mean()))


@dataclass(frozen=True)
class CrossFit:
    """The selections of all folds and what came of them."""

    deals: tuple[tuple[Fold, ...], ...]
    """The folds of each repeat; those of one hold every sample once"""
    outcomes: Mapping[str, Outcome]
    """By way of choosing"""

    @property
    def folds(self) -> int:
        """Folds of a deal: fewer than asked for where a class has fewer samples."""
        return len(self.deals[0])

    @property
    def fold_of(self) -> np.ndarray:
        """int [samples]: each one's fold in the first deal"""
        found = np.empty(sum(len(fold.left_out) for fold in self.deals[0]), dtype=np.int64)
        for number, fold in enumerate(self.deals[0]):
            found[fold.left_out] = number
        return found

    def probs(self, library: Candidates, way: str) -> np.ndarray:
        """float64 [samples, classes]: what the first deal's selections say of the samples that did not choose."""
        found = np.empty((len(library.labels), library.classes))
        for fold in self.deals[0]:
            found[fold.left_out] = weighted_mean(library.with_samples(fold.left_out), fold.weights[way])
        return found


def cross_fit(
    library: Candidates, ways: Mapping[str, Choose], *, folds: int, repeats: int, rng: np.random.Generator
) -> CrossFit:
    """Let each of ``ways`` choose on all folds but one, ``repeats`` times over, and score it on the one left out.

    Raises `PredictionsError` when there are fewer than two samples.
    """
    folds = usable_folds(library.labels, folds)
    deals = tuple(tuple(_choose(library, ways, folds, rng)) for _ in range(repeats))
    return CrossFit(deals, {way: _outcome(library, way, deals) for way in ways})


def _choose(library: Candidates, ways: Mapping[str, Choose], folds: int, rng: np.random.Generator) -> Iterator[Fold]:
    fold_of = stratified_folds(library.labels, folds, rng)
    for fold in range(folds):
        others = library.with_samples(np.flatnonzero(fold_of != fold))
        yield Fold(np.flatnonzero(fold_of == fold), {way: choose(others) for way, choose in ways.items()})


def _outcome(library: Candidates, way: str, deals: tuple[tuple[Fold, ...], ...]) -> Outcome:
    hits, losses = np.empty((2, len(deals), len(library.labels)))
    for number, deal in enumerate(deals):
        for fold in deal:
            left_out = library.with_samples(fold.left_out)
            probs = weighted_mean(left_out, fold.weights[way])
            hits[number, fold.left_out] = is_correct(probs, left_out.labels)
            losses[number, fold.left_out] = log_losses(probs, left_out.labels)
    return Outcome(hits, losses)


def usable_folds(labels: np.ndarray, folds: int) -> int:
    """At most ``folds``, and no more than the smallest class has samples, so that each fold has every class.

    Never below two: the only sample of a class then falls in one of the folds.
    """
    if len(labels) < MIN_FOLDS:
        raise PredictionsError(
            f"cross-fitting needs at least {MIN_FOLDS} held-out samples, got {len(labels)}; hold out more images"
        )
    smallest = int(np.unique(labels, return_counts=True)[1].min())
    return max(MIN_FOLDS, min(folds, smallest))


def stratified_folds(labels: np.ndarray, folds: int, rng: np.random.Generator) -> np.ndarray:
    """int [samples]: a fold each; fold sizes, over all and within a class, differ by at most one."""
    order = rng.permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    fold_of = np.empty(len(labels), dtype=np.int64)
    fold_of[order] = np.arange(len(labels)) % folds
    return fold_of
