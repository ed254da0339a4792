"""The running sum of a small library, computed in full in every round.

Below `MAX_CELLS` a few numpy operations over the whole library take less time than the bounds of
`raysearch.ensemble.running_sum`, whose cost per round does not shrink with the library. Picks and scores are the same.
"""

import numpy as np

from raysearch.ensemble.candidates import Candidates
from raysearch.ensemble.scores import Score, score_of_sum

MAX_CELLS = 100_000
"""Candidates x samples x classes up to which this is the faster way (`make bench ONLY=ensemble_small`)."""


class DirectSum:
    """The float64 sum of the picks in order, and every candidate's probabilities as one float64 array."""

    def __init__(self, candidates: Candidates) -> None:
        self.picks: list[int] = []
        self._labels = candidates.labels
        self._probs = np.stack([np.asarray(probs, dtype=np.float64) for probs in candidates])
        self._label_probs = self._probs[:, np.arange(len(self._labels)), self._labels]
        self._sums = np.zeros(self._probs.shape[1:])
        self._label_sum = np.zeros(len(self._labels))
        self._buffer = np.empty_like(self._probs)

    def add(self, pick: int) -> None:
        """Add a candidate's probabilities."""
        self.picks.append(pick)
        self._sums += self._probs[pick]
        self._label_sum += self._label_probs[pick]

    def score(self) -> Score:
        """The score of the picks' mean."""
        right = int(np.count_nonzero(self._sums.argmax(axis=1) == self._labels))
        return score_of_sum(right, self._label_sum, len(self.picks))

    def find_best_addition(self, fits: np.ndarray) -> tuple[int, Score]:
        """Among candidates with ``fits`` (bool), the one that gives the best mean, and that mean's score."""
        predicted = np.add(self._probs, self._sums, out=self._buffer).argmax(axis=2)
        right = np.count_nonzero(predicted == self._labels, axis=1)
        most = int(right[fits].max())
        best, best_score = -1, Score(0.0, np.inf)
        for candidate in np.flatnonzero(fits & (right == most)):
            score = score_of_sum(most, self._label_sum + self._label_probs[candidate], len(self.picks) + 1)
            if score.log_loss < best_score.log_loss:
                best, best_score = int(candidate), score
        return best, best_score
