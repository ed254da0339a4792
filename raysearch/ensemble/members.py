"""What each member adds to an ensemble, and how much the members disagree."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from raysearch.ensemble.candidates import Candidates
from raysearch.ensemble.estimate import CrossFit, Fold
from raysearch.ensemble.scores import Score, score, weighted_mean


@dataclass(frozen=True)
class Contribution:
    """The ensemble's score minus its score without the member, with the other weights rescaled to sum to 1.

    Cross-fitted: the mean over all folds, on left-out samples. A fold whose selection lacks the member counts as 0.
    """

    accuracy: float
    log_loss: float
    """Negative if the member improves the ensemble"""
    chosen: float
    """Share of the folds' selections that contain the member"""


@dataclass(frozen=True)
class Disagreement:
    """Share of the samples on which the most probable classes of two members differ."""

    mean: float
    """Over all pairs"""
    matrix: tuple[tuple[float, ...], ...]
    """[members, members], in the members' order"""


def measure_contributions(
    library: Candidates, crossed: CrossFit, selector: str, members: Sequence[int]
) -> list[Contribution | None]:
    """The contribution of each of ``members`` (positions in the library) to the ensembles of ``selector``.

    None for a member that is the only one in every selection that contains it.
    """
    folds = [fold for partition in crossed.partitions for fold in partition]
    differences = np.stack([_measure_fold(library, fold, selector, members) for fold in folds])
    sizes = np.array([len(fold.left_out) for fold in folds])
    chosen = np.mean([fold.weights[selector][list(members)] > 0 for fold in folds], axis=0)
    return [_mean(differences[:, index], sizes, float(share)) for index, share in enumerate(chosen)]


def _measure_fold(library: Candidates, fold: Fold, selector: str, members: Sequence[int]) -> np.ndarray:
    """float64 [members, 2]: accuracy and log loss on the left-out samples; NaN for a fold's only member."""
    left_out, weights = library.with_samples(fold.left_out), fold.weights[selector]
    whole = weighted_mean(left_out, weights)
    full = score(whole, left_out.labels)
    differences = np.zeros((len(members), 2))
    for index, member in enumerate(members):
        if np.flatnonzero(weights).tolist() == [member]:
            differences[index] = np.nan
        elif weights[member] > 0:
            rest = (whole - weights[member] * left_out[member].astype(np.float64)) / (1 - weights[member])
            differences[index] = _subtract(full, score(rest, left_out.labels))
    return differences


def _subtract(full: Score, without: Score) -> tuple[float, float]:
    return full.accuracy - without.accuracy, full.log_loss - without.log_loss


def _mean(differences: np.ndarray, sizes: np.ndarray, chosen: float) -> Contribution | None:
    """The mean of ``differences`` [folds, 2] over the folds, weighted by their ``sizes`` [folds]."""
    is_known = ~np.isnan(differences[:, 0])
    if not is_known.any():
        return None
    accuracy, log_loss = np.average(differences[is_known], axis=0, weights=sizes[is_known])
    return Contribution(float(accuracy), float(log_loss), chosen)


def measure_disagreement(probs: Sequence[np.ndarray]) -> Disagreement | None:
    """``probs`` holds float [samples, classes] for each member. None for a single member."""
    predicted = np.stack([of_member.argmax(axis=1) for of_member in probs])
    matrix = np.stack([(predicted != of_member).mean(axis=1) for of_member in predicted])
    n = len(matrix)
    if n == 1:
        return None
    return Disagreement(float(matrix.sum() / (n * (n - 1))), tuple(map(tuple, matrix.tolist())))
