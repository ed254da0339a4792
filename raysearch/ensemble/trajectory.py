"""What a selection did and what it chose."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from raysearch.ensemble.scores import Score


@dataclass(frozen=True)
class Selection:
    """Picks of every round, the score after each, and the weights that are kept."""

    picks: tuple[int, ...]
    """The candidate added in each round, the best single one first; of a bagged selection, that of each bag"""
    trajectory: tuple[Score, ...]
    """The score after each round; of a bagged selection, that of each bag's own ensemble"""
    best_round: int
    """Counted from 1; the number of bags, if bagged: all are averaged."""
    weights: np.ndarray
    """float64 [candidates], sums to 1: how often each was picked up to the best round, or its mean over bags"""
    best_single: int
    """The best candidate by itself, of those that fit under the caps"""


def selection_of(picks: Sequence[int], trajectory: Sequence[Score], best_round: int, candidates: int) -> Selection:
    """The first ``best_round`` of ``picks``, all weighing the same, of a library of ``candidates``."""
    weights = np.bincount(picks[:best_round], minlength=candidates) / best_round
    return Selection(tuple(picks), tuple(trajectory), best_round, weights, picks[0])


def best_round(trajectory: Sequence[Score]) -> int:
    """The round with the best score, the first of ties, counted from 1."""
    return 1 + max(range(len(trajectory)), key=lambda k: trajectory[k].rank)
