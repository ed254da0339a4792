"""The sum of the picks' probabilities, computed in full only for samples whose prediction can still change."""

import numpy as np

from raysearch.ensemble.candidates import Candidates
from raysearch.ensemble.scores import Score

SLACK = 1e-5
"""Bounds decide only if they differ by more than this share of the greatest probability.

It is hundreds of times the rounding error of the float32 summary and of float64 sums of thousands of picks."""
_ROUNDING = 1e-7
"""Upper bound of the rounding error of `Summary.lead`, as a share of the greatest probability"""


class RunningSum:
    """The float64 sum of the picks in order, with bounds on the best rival's sum for each sample.

    A *rival* is a class other than the label. ``floor`` and ``ceiling`` enclose the greatest sum among the rivals.
    Adding a pick updates both in O(1) per sample, independent of the number of classes. `refresh` makes them exact.
    """

    def __init__(self, candidates: Candidates) -> None:
        samples = len(candidates.labels)
        self.picks: list[int] = []
        self.label_sum = np.zeros(samples)
        """float64 [samples]: the label's exact sum"""
        self.ceiling = np.zeros(samples)
        self.floor = np.zeros(samples)
        """float64 [samples]: the exact sum of the class ``rival``, a lower bound of the best rival's sum"""
        self.rival = np.zeros(samples, dtype=np.int64)
        self._candidates = candidates
        # The operating system allocates zeroed pages on the first write: rows of settled samples use no memory.
        self._sums = np.zeros((samples, candidates.classes))
        self._summed = np.zeros(samples, dtype=np.int64)
        """Number of picks that each row of ``_sums`` includes"""

    def add(self, pick: int) -> None:
        """Add a candidate's probabilities; updates only the label's sum and the bounds."""
        summary = self._candidates.summary
        label_prob = summary.label_prob[:, pick].astype(np.float64)
        if not self.picks:
            self.rival[:] = summary.rival[:, pick]
        self.picks.append(pick)
        self.label_sum += label_prob
        self.ceiling += label_prob - summary.lead[:, pick] + _ROUNDING * summary.largest
        self.floor += self._candidates.take_class(pick, self.rival)

    def refresh(self, samples: np.ndarray) -> None:
        """Update the full rows of ``samples`` (int), in the order of the picks, and make their bounds exact."""
        summed = self._summed[samples]
        for count in np.unique(summed):
            for block in self._candidates.blocks(samples[summed == count]):
                sums = self._sums[block]
                for pick in self.picks[count:]:
                    sums += self._candidates.take(pick, block)
                self._sums[block] = sums
                self._find_rivals(block, sums)
        self._summed[samples] = len(self.picks)

    def _find_rivals(self, samples: np.ndarray, sums: np.ndarray) -> None:
        rows = np.arange(len(samples))
        sums[rows, self._candidates.labels[samples]] = -1
        self.rival[samples] = rivals = sums.argmax(axis=1)
        self.ceiling[samples] = self.floor[samples] = sums[rows, rivals]

    @property
    def slack(self) -> float:
        """Minimum difference at which bounds decide"""
        return SLACK * self._candidates.summary.largest

    def settle(self, most_lost: np.ndarray | float, most_won: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
        """The samples that stay correct whatever is added next, int64 [groups], and the open samples (int).

        ``most_lost`` is the most that an addition can lower the label's lead over the best rival; ``most_won`` is the
        most that it can add to the label; float [samples] or a number. Refreshes the open samples.
        """
        _, is_open = self._settled(most_lost, most_won)
        self.refresh(np.flatnonzero(is_open))
        is_right, is_open = self._settled(most_lost, most_won)
        weighting = self._candidates.weighting
        return weighting.count(is_right), weighting.sort(np.flatnonzero(is_open))

    def _settled(self, most_lost: np.ndarray | float, most_won: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
        """bool [samples], twice: which certainly stay correct, and which may be correct or wrong."""
        stays_right = self.label_sum - self.ceiling > most_lost + self.slack
        stays_wrong = self.floor - self.label_sum > most_won + self.slack
        return stays_right, ~(stays_right | stays_wrong)

    def sums_of(self, samples: np.ndarray, classes: np.ndarray) -> np.ndarray:
        """float64 [len(samples), n]: the sums of ``classes`` (int, same shape); ``samples`` must be refreshed."""
        starts = samples[:, np.newaxis] * self._candidates.classes
        return self._sums.reshape(-1).take(starts + classes)

    def count_right(self, samples: np.ndarray, added: int | None = None) -> np.ndarray:
        """int64 [groups]: how many of ``samples`` (int, refreshed) the sum predicts correctly, with candidate ``added``
        if given."""
        weighting = self._candidates.weighting
        counts = np.zeros(weighting.groups, dtype=np.int64)
        for block in self._candidates.blocks(samples):
            sums = self._sums.take(block, axis=0)
            if added is not None:
                sums += self._candidates.take(added, block)
            counts += weighting.count_some(block, sums.argmax(axis=1) == self._candidates.labels[block])
        return counts

    def score(self) -> Score:
        """The score of the picks' mean."""
        right, doubtful = self.settle(0, 0)
        counts = right + self.count_right(doubtful)
        return self._candidates.weighting.score_sum(counts, self.label_sum, len(self.picks))
