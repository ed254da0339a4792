"""The running sum of a library, computed in full in every round.

Below `MAX_CELLS` a few numpy operations over the whole library take less time than the bounds of
`raysearch.ensemble.running_sum`, whose cost per round does not shrink with the library. They also take less time if the
bounds decide little. Picks and scores are the same.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from raysearch.ensemble.candidates import Candidates
from raysearch.ensemble.scores import Score, negative_log

MAX_CELLS = 100_000
"""Candidates x samples x classes up to which this is the faster way (`make bench ONLY=ensemble_small`)."""
MAX_BYTES = 1 << 26
"""Size of the library up to which a selection may copy it to sum it directly."""
BUFFER_CELLS = 1 << 16
"""Cells that are summed at once, at least one candidate's; they fit a core's cache."""


class DirectSum:
    """The float64 sum of the picks in order, and every candidate's probabilities as one array."""

    def __init__(self, candidates: Candidates, picks: Sequence[int] = ()) -> None:
        self.picks: list[int] = []
        self._weighting, self._labels = candidates.weighting, candidates.labels
        cells = len(candidates) * len(candidates.labels) * candidates.classes
        dtype = np.float64 if cells <= MAX_CELLS else candidates.summary.lead.dtype
        self._probs = np.stack(list(candidates), dtype=dtype)
        self._label_probs = self._probs[:, np.arange(len(self._labels)), self._labels]
        self._sums = np.zeros(self._probs.shape[1:])
        self._label_sum = np.zeros(len(self._labels))
        self._buffer = np.empty((min(len(candidates), max(1, BUFFER_CELLS // self._sums.size)), *self._sums.shape))
        for pick in picks:
            self.add(pick)

    def add(self, pick: int) -> None:
        """Add a candidate's probabilities."""
        self.picks.append(pick)
        self._sums += self._probs[pick]
        self._label_sum += self._label_probs[pick]

    def score(self) -> Score:
        """The score of the picks' mean."""
        counts = self._weighting.count(self._sums.argmax(axis=1) == self._labels)
        return self._weighting.score_sum(counts, self._label_sum, len(self.picks))

    def find_best_addition(self, fits: np.ndarray) -> tuple[int, Score]:
        """Among candidates with ``fits`` (bool), the one that gives the best mean, and that mean's score."""
        counts = np.empty((self._weighting.groups, len(self._probs)), dtype=np.int64)
        for part in self._parts(len(self._probs)):
            sums = np.add(self._probs[part], self._sums, out=self._buffer[: part.stop - part.start])
            counts[:, part] = self._weighting.count(sums.argmax(axis=2) == self._labels, axis=1)
        right = self._weighting.weigh(counts)
        tied = np.flatnonzero(fits & (right == right[fits].max()))
        best = int(tied[0] if len(tied) == 1 else tied[self._log_losses(tied).argmin()])
        label_sum = self._label_sum + self._label_probs[best]
        return best, self._weighting.score_sum(counts[:, best], label_sum, len(self.picks) + 1)

    def _log_losses(self, candidates: np.ndarray) -> np.ndarray:
        """float64 [len(candidates)]: the log loss of the mean with each of ``candidates`` (int) added."""
        size = len(self.picks) + 1
        return np.concatenate(
            [
                negative_log((self._label_probs[candidates[part]] + self._label_sum) / size).mean(axis=1)
                for part in self._parts(len(candidates))
            ]
        )

    def _parts(self, count: int) -> Iterator[slice]:
        """Split ``count`` candidates so that the sums of each part fit the buffer."""
        for start in range(0, count, len(self._buffer)):
            yield slice(start, min(start + len(self._buffer), count))
