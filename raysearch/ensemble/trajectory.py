"""The result of a selection."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from raysearch.ensemble.scores import Score


@dataclass(frozen=True)
class Selection:
    """The pick of every round, the score after it, and the weights of the best round."""

    picks: tuple[int, ...]
    """The candidate added in each round, the best single one first; for a bagged selection, each bag's best single"""
    trajectory: tuple[Score, ...]
    """The score after each round; for a bagged selection, the score of each bag's own ensemble"""
    best_round: int
    """Counted from 1. For a bagged selection the number of bags, because all bags are averaged."""
    weights: np.ndarray
    """float64 [candidates], sums to 1: each candidate's share of the picks up to the best round (mean over bags)"""
    best_single: int
    """The best single candidate among those that fit under the caps"""


def make_selection(picks: Sequence[int], trajectory: Sequence[Score], best_round: int, candidates: int) -> Selection:
    """Give the first ``best_round`` of ``picks`` equal weights; ``candidates`` is the library's size."""
    weights = np.bincount(picks[:best_round], minlength=candidates) / best_round
    return Selection(tuple(picks), tuple(trajectory), best_round, weights, picks[0])


def find_best_round(trajectory: Sequence[Score]) -> int:
    """The round with the best score (the first of ties), counted from 1."""
    return 1 + max(range(len(trajectory)), key=lambda k: trajectory[k].rank)
