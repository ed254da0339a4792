"""The selection's view of a library: the candidates' probabilities, and a compact summary computed in one pass."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from raysearch.ensemble.scores import Score
from raysearch.ensemble.weighting import SelectionObjective, Weighting

BLOCK_BYTES = 1 << 19
"""Rows are processed in blocks that fit a core's cache; this also bounds the extra memory."""


@dataclass(frozen=True)
class Summary:
    """Each candidate's prediction for each sample, in about ten bytes; all arrays are [samples, candidates].

    The *rival* is the most probable class other than the label (the lowest index of ties).
    """

    label_prob: np.ndarray
    """float32 (float64 if any candidate is float64): the label's exact probability"""
    lead: np.ndarray
    """Same type: the label's probability minus the rival's. The sign is exact; the value is rounded once."""
    rival: np.ndarray
    """unsigned int: the rival's class index"""
    largest: float
    """The greatest of all probabilities, usually about 1"""

    @cached_property
    def most_lost(self) -> np.ndarray:
        """float [samples]: the most by which any candidate can lower the label's lead"""
        return -self.lead.min(axis=1)

    @cached_property
    def most_won(self) -> np.ndarray:
        """float [samples]: the most that any candidate can add to the label's sum"""
        return self.label_prob.max(axis=1)

    def subset(self, samples: np.ndarray | slice, members: np.ndarray | slice) -> "Summary":
        """A copy with only these samples and candidates."""

        def copy(values: np.ndarray) -> np.ndarray:
            return np.ascontiguousarray(values[samples][:, members])

        return Summary(copy(self.label_prob), copy(self.lead), copy(self.rival), self.largest)


class Candidates(Sequence[np.ndarray]):
    """float [samples, classes] for each candidate, with labels and summary. Subsets reuse the summary.

    Probabilities may be memory-mapped: they are never copied as a whole. Indexing returns one candidate's array.
    """

    def __init__(
        self,
        probs: Sequence[np.ndarray],
        labels: np.ndarray,
        summary: Summary,
        weighting: Weighting,
        rows: np.ndarray | None = None,
        members: np.ndarray | None = None,
    ) -> None:
        """Use only ``rows`` (samples) and ``members`` (candidates) of ``probs``; the other arguments match."""
        self._probs, self._rows = probs, rows
        self._members = np.arange(len(probs)) if members is None else members
        self.labels, self.summary, self.weighting = labels, summary, weighting
        self.classes = probs[0].shape[1]

    @classmethod
    def from_probs(
        cls, probs: Sequence[np.ndarray], labels: np.ndarray, objective: SelectionObjective = "accuracy"
    ) -> "Candidates":
        """Summarize float16, float32 or float64 ``probs``, none negative, with int [samples] ``labels``.

        Returns ``probs`` itself if it is summarized already; it keeps its own objective.
        """
        if isinstance(probs, cls):
            assert np.array_equal(probs.labels, labels), "labels of other samples"
            return probs
        labels = np.asarray(labels, dtype=np.int64)
        return cls(probs, labels, summarize(probs, labels), Weighting.from_labels(labels, objective))

    def with_samples(self, samples: np.ndarray) -> "Candidates":
        """Only these ``samples`` (int), which may repeat; reuses the summary, and weighs these samples anew."""
        rows = samples if self._rows is None else self._rows[samples]
        labels, summary = self.labels[samples], self.summary.subset(samples, slice(None))
        return Candidates(
            self._probs, labels, summary, Weighting.from_labels(labels, self.objective), rows, self._members
        )

    def only(self, members: np.ndarray) -> "Candidates":
        """Only these candidates (int); reuses the summary."""
        summary = self.summary.subset(slice(None), members)
        return Candidates(self._probs, self.labels, summary, self.weighting, self._rows, self._members[members])

    @property
    def objective(self) -> SelectionObjective:
        """What a selection from these candidates maximizes."""
        return self.weighting.objective

    def __len__(self) -> int:
        return len(self._members)

    def __getitem__(self, index: Any) -> Any:
        probs = self._probs[self._members[index]]
        return probs if self._rows is None else probs[self._rows]

    def take(self, candidate: int, samples: np.ndarray) -> np.ndarray:
        """float [len(samples), classes]: the candidate's probabilities for ``samples`` (int)."""
        probs = self._probs[self._members[candidate]]
        rows = samples if self._rows is None else self._rows[samples]
        # `take` is faster on short rows, but would first copy all of an array that is not contiguous.
        return probs.take(rows, axis=0) if probs.flags.c_contiguous else probs[rows]

    def take_class(self, candidate: int, classes: np.ndarray) -> np.ndarray:
        """float [samples]: the candidate's probability of one class per sample; ``classes`` int [samples]."""
        rows = np.arange(len(self.labels)) if self._rows is None else self._rows
        return self._probs[self._members[candidate]][rows, classes]

    def blocks(self, samples: np.ndarray) -> Iterator[np.ndarray]:
        """Split ``samples`` so that the float64 rows of each part fit in `BLOCK_BYTES`."""
        size = max(1, BLOCK_BYTES // (8 * self.classes))
        for start in range(0, len(samples), size):
            yield samples[start : start + size]

    @cached_property
    def correct(self) -> np.ndarray:
        """int64 [groups, candidates]: number of samples that each candidate alone predicts correctly, by group."""
        lead, labels = self.summary.lead, self.labels
        is_right = lead > 0
        rows, members = np.nonzero(lead == 0)
        is_right[rows, members] = labels[rows] < self.summary.rival[rows, members]
        return self.weighting.count(is_right)

    @cached_property
    def singles(self) -> list[Score]:
        """The score of each candidate alone."""
        pairs = zip(self.correct.T, self.summary.label_prob.T, strict=True)
        return [self.weighting.score_sum(counts, probs.astype(np.float64), 1) for counts, probs in pairs]

    @property
    def ranking(self) -> list[int]:
        """All candidates, best first: by the objective, then log loss, then position."""
        return sorted(range(len(self)), key=lambda candidate: self.singles[candidate].rank, reverse=True)


def summarize(probs: Sequence[np.ndarray], labels: np.ndarray) -> Summary:
    """Summarize the library in one pass, block by block; arguments as in `Candidates.from_probs`."""
    samples, classes = probs[0].shape
    shape = samples, len(probs)
    dtype = np.result_type(np.float32, *(p.dtype for p in probs))
    label_prob, lead = np.empty(shape, dtype), np.empty(shape, dtype)
    rival = np.empty(shape, np.min_scalar_type(classes - 1))
    size = min(samples, max(1, BLOCK_BYTES // (dtype.itemsize * classes)))
    buffer = np.empty((size, classes), dtype)
    largest = 0.0
    for candidate, of_candidate in enumerate(probs):
        for start in range(0, samples, size):
            block = slice(start, min(start + size, samples))
            own_prob, rival_prob, rivals = _split_rival(
                of_candidate[block], labels[block], buffer[: block.stop - start]
            )
            label_prob[block, candidate], rival[block, candidate] = own_prob, rivals
            lead[block, candidate] = own_prob - rival_prob
            largest = max(largest, float(own_prob.max()), float(rival_prob.max()))
    return Summary(label_prob, lead, rival, largest)


def _split_rival(
    probs: np.ndarray, labels: np.ndarray, buffer: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """[samples] each: the label's probability, the rival's probability, and the rival; overwrites ``buffer``.

    If there is only one class, the rival is the label itself with probability -1, so that it is never ahead.
    """
    buffer[...] = probs
    flat, starts = buffer.reshape(-1), np.arange(len(buffer)) * buffer.shape[1]
    label_prob = flat.take(starts + labels)
    flat[starts + labels] = -1
    rival = buffer.argmax(axis=1)
    return label_prob, flat.take(starts + rival), rival
