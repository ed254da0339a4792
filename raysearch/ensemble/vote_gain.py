"""Counts the correct samples of the vote with each candidate added: bounds for all candidates, exact counts for few."""

from dataclasses import dataclass

import numpy as np

from raysearch.ensemble.candidates import Candidates
from raysearch.ensemble.running_sum import RunningSum

PART = 255
"""Samples per block: the largest count that fits in a byte (`_count_rows`)."""


@dataclass(frozen=True)
class Additions:
    """Bounds on the number of correct samples of ``total`` with each candidate added."""

    total: RunningSum
    least: np.ndarray
    """int64 [groups, candidates]"""
    greatest: np.ndarray
    """int [candidates]: the weighted sum over the groups"""
    samples: np.ndarray
    """int [open]: the samples whose prediction can change"""
    undecided: np.ndarray
    """bool [candidates, open]: where the bounds do not decide"""

    def find_undecided(self, candidate: int) -> np.ndarray:
        """int: the samples that an exact count of the candidate computes."""
        return self.samples[self.undecided[candidate].nonzero()[0]]

    def count(self, candidate: int, undecided: np.ndarray) -> np.ndarray:
        """int64 [groups]: the exact number of correct samples with the candidate added; see `find_undecided`."""
        return self.least[:, candidate] + self.total.count_right(undecided, candidate)


def bound_additions(total: RunningSum, candidates: Candidates) -> Additions:
    """Compute bounds for every candidate from the summary alone."""
    weighting = candidates.weighting
    if not total.picks:
        samples, undecided = np.empty(0, dtype=np.int64), np.empty((len(candidates), 0), dtype=bool)
        return Additions(total, candidates.correct, weighting.weigh(candidates.correct), samples, undecided)
    right, samples = total.settle(candidates.summary.most_lost, candidates.summary.most_won)
    least = np.repeat(right[:, np.newaxis], len(candidates), axis=1)
    greatest = least.copy()
    undecided = np.empty((len(candidates), len(samples)), dtype=bool)
    for group, part in weighting.parts(samples, PART):
        is_right, may_be_right = _bound_part(total, candidates, samples[part])
        least[group] += _count_rows(is_right)
        greatest[group] += _count_rows(may_be_right)
        undecided[:, part] = (may_be_right ^ is_right).T
    return Additions(total, least, weighting.weigh(greatest), samples, undecided)


def _bound_part(total: RunningSum, candidates: Candidates, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """bool [len(samples), candidates], twice: whether the vote is certainly correct, and whether it may be.

    Adding a candidate raises the sum of the best rival by at most the probability of the candidate's own rival. If the
    label leads even then, the vote is certainly correct. The sum of the candidate's rival rises by exactly this
    probability, and the sum of the current best rival does not fall. If the label is behind either of them, the vote is
    certainly wrong.
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
    """int [columns]: the number of true values among at most `PART` rows."""
    return is_true.view(np.uint8).sum(axis=0, dtype=np.uint8)
