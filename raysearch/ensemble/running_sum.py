"""The sum of the picks' probabilities, known in full only for the samples where that matters."""

import numpy as np

from raysearch.ensemble.candidates import Candidates
from raysearch.ensemble.scores import Score, score_of_sum

SLACK = 1e-5
"""Bounds must differ by this share of the greatest probability to decide; what is nearer is computed in full.

It is hundreds of times the rounding of the float32 summary, and of float64 sums of thousands of picks."""
_ROUNDING = 1e-7
"""More than a rounded `Summary.lead` is off, as a share of the greatest probability"""


class RunningSum:
    """The float64 sum of the picks in their order, and for each sample bounds on the sum's best rival.

    A *rival* is a class other than the label. ``floor`` and ``ceiling`` enclose the sum of the best of them; adding
    a pick raises both in one step a sample, whatever the number of classes. `refresh` makes them exact.
    """

    def __init__(self, candidates: Candidates) -> None:
        samples = len(candidates.labels)
        self.picks: list[int] = []
        self.label_sum = np.zeros(samples)
        """float64 [samples]: the label's sum, exactly"""
        self.ceiling = np.zeros(samples)
        self.floor = np.zeros(samples)
        """float64 [samples]: the sum of the class ``rival``, exactly, so no more than that of the best rival"""
        self.rival = np.zeros(samples, dtype=np.int64)
        self._candidates = candidates
        # Zeroed pages take memory only once written to: the rows of samples that never matter stay free.
        self._sums = np.zeros((samples, candidates.classes))
        self._summed = np.zeros(samples, dtype=np.int64)
        """How many of the picks each row of ``_sums`` holds"""

    def add(self, pick: int) -> None:
        """Add a candidate's probabilities; only label and bounds are brought up to date."""
        summary = self._candidates.summary
        label_prob = summary.label_prob[:, pick].astype(np.float64)
        if not self.picks:
            self.rival[:] = summary.rival[:, pick]
        self.picks.append(pick)
        self.label_sum += label_prob
        self.ceiling += label_prob - summary.lead[:, pick] + _ROUNDING * summary.largest
        self.floor += self._candidates.take_class(pick, self.rival)

    def refresh(self, samples: np.ndarray) -> None:
        """Bring the full rows of ``samples`` (int) up to date, in the order of the picks, and their bounds too."""
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
        """What bounds must differ by to decide"""
        return SLACK * self._candidates.summary.largest

    def settle(self, most_lost: np.ndarray | float, most_won: np.ndarray | float) -> tuple[int, np.ndarray]:
        """How many samples stay right whatever is added next, and which (int) are open: they may change.

        ``most_lost`` is the most that any addition takes from the label's lead over the best rival, ``most_won`` the
        most it gives to the label; float [samples] or a number. Open samples are refreshed.
        """
        _, is_open = self._settled(most_lost, most_won)
        self.refresh(np.flatnonzero(is_open))
        is_right, is_open = self._settled(most_lost, most_won)
        return int(np.count_nonzero(is_right)), np.flatnonzero(is_open)

    def _settled(self, most_lost: np.ndarray | float, most_won: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
        """bool [samples], twice: which stay right for sure, and which neither stay right nor wrong for sure."""
        stays_right = self.label_sum - self.ceiling > most_lost + self.slack
        stays_wrong = self.floor - self.label_sum > most_won + self.slack
        return stays_right, ~(stays_right | stays_wrong)

    def sums_of(self, samples: np.ndarray, classes: np.ndarray) -> np.ndarray:
        """float64 [len(samples), n]: the sums of ``n`` classes a sample (int, of the same shape); refreshed before."""
        starts = samples[:, np.newaxis] * self._candidates.classes
        return self._sums.reshape(-1).take(starts + classes)

    def count_right(self, samples: np.ndarray, added: int | None = None) -> int:
        """How many of ``samples`` (int, refreshed) the sum gets right, or the sum with candidate ``added``."""
        count = 0
        for block in self._candidates.blocks(samples):
            sums = self._sums.take(block, axis=0)
            if added is not None:
                sums += self._candidates.take(added, block)
            count += int(np.count_nonzero(sums.argmax(axis=1) == self._candidates.labels[block]))
        return count

    def score(self) -> Score:
        """The score of the picks' mean."""
        right, doubtful = self.settle(0, 0)
        return score_of_sum(right + self.count_right(doubtful), self.label_sum, len(self.picks))
