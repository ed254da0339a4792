"""A library of candidates as the selection sees it: their probabilities, and a small summary made in one pass."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from raysearch.ensemble.scores import Score, score_of_sum

BLOCK_BYTES = 1 << 19
"""Rows are worked on in blocks that stay in a core's cache; it bounds the extra memory too."""


@dataclass(frozen=True)
class Summary:
    """What each candidate says of each sample, in about ten bytes; all arrays are [samples, candidates].

    A *rival* is the most probable class other than the label, the lowest index of ties.
    """

    label_prob: np.ndarray
    """float32, or float64 where a candidate is: the label's probability, exactly"""
    lead: np.ndarray
    """Of the same type: the label's probability less the rival's, of the right sign, rounded once"""
    rival: np.ndarray
    """unsigned int: the rival"""
    largest: float
    """The greatest of all probabilities: 1, or nearly"""

    @cached_property
    def most_lost(self) -> np.ndarray:
        """float [samples]: the most that any candidate takes from the label's lead"""
        return -self.lead.min(axis=1)

    @cached_property
    def most_won(self) -> np.ndarray:
        """float [samples]: the most that any candidate gives to the label"""
        return self.label_prob.max(axis=1)

    def subset(self, samples: np.ndarray | slice, members: np.ndarray | slice) -> "Summary":
        """A copy of these samples and candidates."""

        def part(of_all: np.ndarray) -> np.ndarray:
            return np.ascontiguousarray(of_all[samples][:, members])

        return Summary(part(self.label_prob), part(self.lead), part(self.rival), self.largest)


class Candidates(Sequence[np.ndarray]):
    """float [samples, classes] of each candidate, with labels and summary; some rows or candidates of it share both.

    Probabilities are read where they lie and never copied as a whole: they may be memory-mapped. As a sequence, it
    makes the array of a candidate on access.
    """

    def __init__(
        self,
        probs: Sequence[np.ndarray],
        labels: np.ndarray,
        summary: Summary,
        rows: np.ndarray | None = None,
        members: np.ndarray | None = None,
    ) -> None:
        """Of ``probs``, only ``rows`` (samples) and ``members`` (candidates); ``labels`` and ``summary`` fit those."""
        self._probs, self._rows = probs, rows
        self._members = np.arange(len(probs)) if members is None else members
        self.labels, self.summary = labels, summary
        self.classes = probs[0].shape[1]

    @classmethod
    def of(cls, probs: Sequence[np.ndarray], labels: np.ndarray) -> "Candidates":
        """Summarize float16, float32 or float64 ``probs``, none negative, and int [samples] ``labels``.

        What is summarized already is returned as it is.
        """
        if isinstance(probs, cls):
            assert np.array_equal(probs.labels, labels), "labels of other samples"
            return probs
        labels = np.asarray(labels, dtype=np.int64)
        return cls(probs, labels, summarize(probs, labels))

    def with_samples(self, samples: np.ndarray) -> "Candidates":
        """Only these ``samples`` (int), which may repeat; the summary is not made anew."""
        rows = samples if self._rows is None else self._rows[samples]
        return Candidates(
            self._probs, self.labels[samples], self.summary.subset(samples, slice(None)), rows, self._members
        )

    def only(self, members: np.ndarray) -> "Candidates":
        """Only these candidates (int); the summary is not made anew."""
        summary = self.summary.subset(slice(None), members)
        return Candidates(self._probs, self.labels, summary, self._rows, self._members[members])

    def __len__(self) -> int:
        return len(self._members)

    def __getitem__(self, index: Any) -> Any:
        probs = self._probs[self._members[index]]
        return probs if self._rows is None else probs[self._rows]

    def take(self, candidate: int, samples: np.ndarray) -> np.ndarray:
        """float [len(samples), classes]: the candidate's probabilities of ``samples`` (int)."""
        probs = self._probs[self._members[candidate]]
        rows = samples if self._rows is None else self._rows[samples]
        # `take` is faster on short rows, but would first copy all of an array that is not contiguous.
        return probs.take(rows, axis=0) if probs.flags.c_contiguous else probs[rows]

    def take_class(self, candidate: int, classes: np.ndarray) -> np.ndarray:
        """float [samples]: the candidate's probability of one class a sample, ``classes`` int [samples]."""
        rows = np.arange(len(self.labels)) if self._rows is None else self._rows
        return self._probs[self._members[candidate]][rows, classes]

    def blocks(self, samples: np.ndarray) -> Iterator[np.ndarray]:
        """``samples`` in parts, so few that their float64 rows fit a block."""
        size = max(1, BLOCK_BYTES // (8 * self.classes))
        for start in range(0, len(samples), size):
            yield samples[start : start + size]

    @cached_property
    def correct(self) -> np.ndarray:
        """int [candidates]: how many samples each gets right by itself."""
        lead, labels = self.summary.lead, self.labels
        counts = np.count_nonzero(lead > 0, axis=0)
        rows, members = np.nonzero(lead == 0)
        wins_tie = labels[rows] < self.summary.rival[rows, members]
        return counts + np.bincount(members[wins_tie], minlength=len(self))

    @cached_property
    def singles(self) -> list[Score]:
        """The score of each candidate by itself."""
        label_probs = self.summary.label_prob.T
        return [score_of_sum(int(n), p.astype(np.float64), 1) for n, p in zip(self.correct, label_probs, strict=True)]

    @property
    def ranking(self) -> list[int]:
        """All candidates, the best single first: by accuracy, then log loss, then position."""
        return sorted(range(len(self)), key=lambda candidate: self.singles[candidate].rank, reverse=True)


def summarize(probs: Sequence[np.ndarray], labels: np.ndarray) -> Summary:
    """One pass over the library, a block of rows at a time; arguments as in `Candidates.of`."""
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
            found = _label_and_rival(of_candidate[block], labels[block], buffer[: block.stop - start])
            label_prob[block, candidate], rival_prob, rival[block, candidate] = found
            lead[block, candidate] = found[0] - rival_prob
            largest = max(largest, float(found[0].max()), float(rival_prob.max()))
    return Summary(label_prob, lead, rival, largest)


def _label_and_rival(
    probs: np.ndarray, labels: np.ndarray, buffer: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """[samples] each: the label's probability, the rival's, and the rival; ``buffer`` is overwritten.

    Where there is but one class, the rival is the label itself with a probability of -1: never ahead.
    """
    buffer[...] = probs
    flat, starts = buffer.reshape(-1), np.arange(len(buffer)) * buffer.shape[1]
    label_prob = flat.take(starts + labels)
    flat[starts + labels] = -1
    rival = buffer.argmax(axis=1)
    return label_prob, flat.take(starts + rival), rival
