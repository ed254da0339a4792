"""What each member adds to an ensemble, and how much the members disagree."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from raysearch.ensemble.candidates import Candidates
from raysearch.ensemble.estimate import CrossFit, Fold
from raysearch.ensemble.scores import Measured, is_correct, log_losses, weighted_mean


@dataclass(frozen=True)
class Contribution(Measured):
    """The ensemble's score minus its score without the member, with the other weights rescaled to sum to 1.

    Cross-fitted: the mean over all folds, on left-out samples. A fold whose selection lacks the member counts as 0.
    """

    accuracy: float
    log_loss: float
    """Negative if the member improves the ensemble"""
    chosen: float
    """Share of the folds' selections that contain the member"""
    balanced_accuracy: float | None = None
    """Given if it is the objective of the selection"""


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
    found = [_mean(differences[:, index], sizes, float(share)) for index, share in enumerate(chosen)]
    if library.objective == "balanced_accuracy":
        return found
    return [one and replace(one, balanced_accuracy=None) for one in found]


def _measure_fold(library: Candidates, fold: Fold, selector: str, members: Sequence[int]) -> np.ndarray:
    """float64 [members, 3]: accuracy, log loss and balanced accuracy on the left-out samples; NaN for a fold's only
    member. The balanced accuracy has the weights of the whole library, so that the mean over the folds is exact."""
    left_out, weights = library.with_samples(fold.left_out), fold.weights[selector]
    whole, sample_weights = weighted_mean(left_out, weights), library.weighting.sample_weights[fold.left_out]
    full = _figures(whole, left_out.labels, sample_weights)
    differences = np.zeros((len(members), 3))
    for index, member in enumerate(members):
        if np.flatnonzero(weights).tolist() == [member]:
            differences[index] = np.nan
        elif weights[member] > 0:
            rest = (whole - weights[member] * left_out[member].astype(np.float64)) / (1 - weights[member])
            differences[index] = full - _figures(rest, left_out.labels, sample_weights)
    return differences


def _figures(probs: np.ndarray, labels: np.ndarray, sample_weights: np.ndarray) -> np.ndarray:
    hits = is_correct(probs, labels)
    return np.array([hits.mean(), log_losses(probs, labels).mean(), (hits * sample_weights).mean()])


def _mean(differences: np.ndarray, sizes: np.ndarray, chosen: float) -> Contribution | None:
    """The mean of ``differences`` [folds, 3] over the folds, weighted by their ``sizes`` [folds]."""
    is_known = ~np.isnan(differences[:, 0])
    if not is_known.any():
        return None
    accuracy, log_loss, balanced = np.average(differences[is_known], axis=0, weights=sizes[is_known]).tolist()
    return Contribution(accuracy, log_loss, chosen, balanced)


def measure_disagreement(probs: Sequence[np.ndarray]) -> Disagreement | None:
    """``probs`` holds float [samples, classes] for each member. None for a single member."""
    predicted = np.stack([of_member.argmax(axis=1) for of_member in probs])
    matrix = np.stack([(predicted != of_member).mean(axis=1) for of_member in predicted])
    n = len(matrix)
    if n == 1:
        return None
    return Disagreement(float(matrix.sum() / (n * (n - 1))), tuple(map(tuple, matrix.tolist())))
