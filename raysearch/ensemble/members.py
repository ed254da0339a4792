"""What each member adds to an ensemble, and how much the members differ."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from raysearch.ensemble.candidates import Candidates
from raysearch.ensemble.estimate import CrossFit, Fold
from raysearch.ensemble.scores import Score, score, weighted_mean


@dataclass(frozen=True)
class Contribution:
    """What the ensemble has by a member: its score less that without it, the other weights scaled up to sum to 1.

    Cross-fitted: the mean over all folds' selections, on samples that did not choose; 0 where a selection does not
    have the member.
    """

    accuracy: float
    log_loss: float
    """Below 0 where the member makes the ensemble better"""
    chosen: float
    """Share of the folds' selections that have the member"""


@dataclass(frozen=True)
class Disagreement:
    """Share of the samples on which two members' most probable classes differ."""

    mean: float
    """Over all pairs"""
    matrix: tuple[tuple[float, ...], ...]
    """[members, members], in the members' order"""


def contributions(
    library: Candidates, crossed: CrossFit, way: str, members: Sequence[int]
) -> list[Contribution | None]:
    """Of each of ``members`` (candidates' positions); None of one that is alone wherever it is chosen."""
    folds = [fold for deal in crossed.deals for fold in deal]
    found = np.stack([_of_fold(library, fold, way, members) for fold in folds])
    sizes = np.array([len(fold.left_out) for fold in folds])
    chosen = np.mean([fold.weights[way][list(members)] > 0 for fold in folds], axis=0)
    return [_mean(found[:, at], sizes, float(share)) for at, share in enumerate(chosen)]


def _of_fold(library: Candidates, fold: Fold, way: str, members: Sequence[int]) -> np.ndarray:
    """float64 [members, 2]: accuracy and log loss on the samples left out; NaN of the fold's only member."""
    left_out, weights = library.with_samples(fold.left_out), fold.weights[way]
    whole = weighted_mean(left_out, weights)
    full = score(whole, left_out.labels)
    found = np.zeros((len(members), 2))
    for at, member in enumerate(members):
        if np.flatnonzero(weights).tolist() == [member]:
            found[at] = np.nan
        elif weights[member] > 0:
            rest = (whole - weights[member] * left_out[member].astype(np.float64)) / (1 - weights[member])
            found[at] = _difference(full, score(rest, left_out.labels))
    return found


def _difference(of: Score, without: Score) -> tuple[float, float]:
    return of.accuracy - without.accuracy, of.log_loss - without.log_loss


def _mean(of_folds: np.ndarray, sizes: np.ndarray, chosen: float) -> Contribution | None:
    is_known = ~np.isnan(of_folds[:, 0])
    if not is_known.any():
        return None
    accuracy, log_loss = np.average(of_folds[is_known], axis=0, weights=sizes[is_known])
    return Contribution(float(accuracy), float(log_loss), chosen)


def disagreement(probs: Sequence[np.ndarray]) -> Disagreement | None:
    """Of ``probs`` float [samples, classes] a member; None of a single one."""
    said = np.stack([of_member.argmax(axis=1) for of_member in probs])
    matrix = np.stack([(said != of_member).mean(axis=1) for of_member in said])
    n = len(matrix)
    if n == 1:
        return None
    return Disagreement(float(matrix.sum() / (n * (n - 1))), tuple(map(tuple, matrix.tolist())))
