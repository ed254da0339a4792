"""Which candidates, how often: greedy selection with replacement, and the plain mean of the best few.

Caruana et al., "Ensemble Selection from Libraries of Models", ICML 2004, by soft-vote accuracy. Candidates are
ranked by accuracy, then log loss, then position. Sums are float64, so picks are the same on every machine.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

PROBABILITY_FLOOR = 1e-12
"""Probabilities below this count as this in the log loss, so that one sure mistake is not infinite."""


@dataclass(frozen=True)
class Score:
    """Accuracy and mean log loss (natural log) on one split."""

    accuracy: float
    log_loss: float

    @property
    def rank(self) -> tuple[float, float]:
        """Greater is better: accuracy, then log loss."""
        return self.accuracy, -self.log_loss


@dataclass(frozen=True)
class Selection:
    """Picks of every round, the score after each, and the weights at the best round."""

    picks: tuple[int, ...]
    """The candidate added in each round; the first is the best single candidate."""
    trajectory: tuple[Score, ...]
    best_round: int
    """Counted from 1."""
    weights: np.ndarray
    """float64 [candidates], sums to 1: how often each was picked up to the best round"""


def greedy(probs: Sequence[np.ndarray], labels: np.ndarray, rounds: int) -> Selection:
    """Add, ``rounds`` times, the candidate that makes the best soft vote; keep the best round (the first of ties).

    ``probs`` holds float [samples, classes] a candidate and ``labels`` int [samples]. Each candidate is read
    once a round and none is kept, so they may be memory-mapped.
    """
    total = np.zeros(probs[0].shape)
    picks, trajectory = [], []
    for size in range(1, rounds + 1):
        pick, score = _best_addition(total, size, probs, labels)
        total += probs[pick]
        picks.append(pick)
        trajectory.append(score)
    best_round = 1 + max(range(rounds), key=lambda k: trajectory[k].rank)
    return Selection(tuple(picks), tuple(trajectory), best_round, _weights(picks[:best_round], len(probs)))


def _best_addition(total: np.ndarray, size: int, probs: Sequence[np.ndarray], labels: np.ndarray) -> tuple[int, Score]:
    """The candidate that makes the best mean of ``size``, given the sum ``total`` of those before it."""
    samples = np.arange(len(labels))
    trial_sum = np.empty_like(total)
    best, best_correct, best_loss = -1, -1, np.inf
    for candidate, added in enumerate(probs):
        np.add(total, added, out=trial_sum)
        correct = int(np.count_nonzero(trial_sum.argmax(axis=1) == labels))
        if correct < best_correct:
            continue
        loss = float(_negative_log(trial_sum[samples, labels] / size).mean())
        if correct > best_correct or loss < best_loss:
            best, best_correct, best_loss = candidate, correct, loss
    return best, Score(best_correct / len(labels), best_loss)


def uniform(probs: Sequence[np.ndarray], labels: np.ndarray, best_n: int) -> Selection:
    """The plain mean of the ``best_n`` candidates (of all, if there are fewer); arguments as in `greedy`."""
    ranks = [score(candidate, labels).rank for candidate in probs]
    picks = sorted(range(len(ranks)), key=ranks.__getitem__, reverse=True)[:best_n]
    total = np.zeros(probs[0].shape)
    trajectory = []
    for size, pick in enumerate(picks, start=1):
        total += probs[pick]
        trajectory.append(score(total / size, labels))
    return Selection(tuple(picks), tuple(trajectory), len(picks), _weights(picks, len(ranks)))


def _weights(picks: Sequence[int], candidates: int) -> np.ndarray:
    return np.bincount(picks, minlength=candidates) / len(picks)


def weighted_mean(probs: Sequence[np.ndarray], weights: Sequence[float] | np.ndarray) -> np.ndarray:
    """float64 [samples, classes]: the sum of weight times probabilities, over the weights that are not 0."""
    total = np.zeros(probs[0].shape)
    for candidate in map(int, np.flatnonzero(weights)):
        total += weights[candidate] * probs[candidate].astype(np.float64)
    return total


def is_correct(probs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """bool [samples]: whether the most probable class (the lowest index of ties) is the label."""
    return probs.argmax(axis=1) == labels


def log_losses(probs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """float64 [samples]: -log of the label's probability."""
    return _negative_log(probs[np.arange(len(labels)), labels].astype(np.float64))


def score(probs: np.ndarray, labels: np.ndarray) -> Score:
    """Accuracy and log loss of float [samples, classes]."""
    return Score(float(is_correct(probs, labels).mean()), float(log_losses(probs, labels).mean()))


def _negative_log(probs: np.ndarray) -> np.ndarray:
    return -np.log(np.maximum(probs, PROBABILITY_FLOOR))
