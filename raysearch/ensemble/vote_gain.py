"""How many samples the vote gets right with each candidate added: bounds for all at once, exact counts for a few."""

from dataclasses import dataclass

import numpy as np

from raysearch.ensemble.candidates import Candidates
from raysearch.ensemble.running_sum import RunningSum

PART = 255
"""Samples bounded at a time: as many as a byte can count."""


@dataclass(frozen=True)
class Additions:
    """Bounds on the number of right samples of ``total`` with each candidate added."""

    total: RunningSum
    least: np.ndarray
    greatest: np.ndarray
    """int [candidates]"""
    samples: np.ndarray
    """int [open]: the samples that are not settled"""
    undecided: np.ndarray
    """bool [candidates, open]: where the bounds do not tell"""

    def count(self, candidate: int) -> int:
        """Exactly how many samples are right with the candidate added."""
        undecided = self.samples[self.undecided[candidate].nonzero()[0]]
        return int(self.least[candidate]) + self.total.count_right(undecided, candidate)


def bound_additions(total: RunningSum, candidates: Candidates) -> Additions:
    """Bounds for every candidate, from the summary alone."""
    if not total.picks:
        samples, undecided = np.empty(0, dtype=np.int64), np.empty((len(candidates), 0), dtype=bool)
        return Additions(total, candidates.correct, candidates.correct, samples, undecided)
    right, samples = total.settle(candidates.summary.most_lost, candidates.summary.most_won)
    least = np.full(len(candidates), right)
    greatest = least.copy()
    undecided = np.empty((len(candidates), len(samples)), dtype=bool)
    for start in range(0, len(samples), PART):
        part = slice(start, start + PART)
        is_right, may_be_right = _bound_part(total, candidates, samples[part])
        least += _count_rows(is_right)
        greatest += _count_rows(may_be_right)
        undecided[:, part] = (may_be_right ^ is_right).T
    return Additions(total, least, greatest, samples, undecided)


def _bound_part(total: RunningSum, candidates: Candidates, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """bool [len(samples), candidates], twice: whether the vote is right for sure, and whether it may be.

    The best rival of a vote gains at most the candidate's rival's probability: a lead that makes up for that much is
    right for sure. The candidate's rival gains just that, and the sum's rival at least nothing: behind either of
    them, the vote is wrong for sure.
    """
    summary = candidates.summary
    behind = (total.ceiling[samples] - total.label_sum[samples])[:, np.newaxis]
    lead = summary.lead.take(samples, axis=0)
    is_right = lead > (behind + total.slack).astype(lead.dtype)
    their_sum = total.sums_of(samples, summary.rival.take(samples, axis=0))
    their_sum -= (total.label_sum[samples] + total.slack)[:, np.newaxis]
    may_be_right = lead >= their_sum
    may_be_right &= summary.label_prob.take(samples, axis=0) >= (behind - total.slack).astype(lead.dtype)
    return is_right, may_be_right


def _count_rows(is_true: np.ndarray) -> np.ndarray:
    """int [columns]: how many of at most `PART` rows are true."""
    return is_true.view(np.uint8).sum(axis=0, dtype=np.uint8)
