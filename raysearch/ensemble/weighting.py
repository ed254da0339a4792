"""How much a correct sample counts for the share that a selection maximizes: accuracy or balanced accuracy.

Balanced accuracy is the mean over the classes of the recall; classes without samples do not count. A correct sample of
a class with n samples therefore counts 1 / (classes * n). Multiplied by the number of classes and the least common
multiple of the class sizes, all of these weights are integers. Sums of integers are exact, and so are ties.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from math import lcm
from typing import Literal

import numpy as np

from raysearch.ensemble.scores import Score, is_correct, log_losses, negative_log

SelectionObjective = Literal["accuracy", "balanced_accuracy"]
_LARGEST = 2**62
"""Weighted sums up to this are computed in int64, larger ones with Python's integers."""


@dataclass(frozen=True)
class Weighting:
    """The weights of an objective for one set of labels.

    Samples of equal weight form a *group*: all samples for accuracy, and the samples of all classes of one size for
    balanced accuracy. Correct samples are counted by group; `weigh` adds up the counts.
    """

    objective: SelectionObjective
    group_of: np.ndarray
    """int64 [samples]"""
    weights: np.ndarray
    """int64, or Python integers, [groups]: the weight of each sample of the group"""
    total: int
    """The sum of the weights of all samples"""

    @classmethod
    def from_labels(cls, labels: np.ndarray, objective: SelectionObjective) -> "Weighting":
        """The weights of samples with these ``labels``, int [samples]."""
        if objective == "accuracy":
            return cls(objective, np.zeros(len(labels), dtype=np.int64), np.ones(1, dtype=np.int64), len(labels))
        size_of_class = np.bincount(labels)
        sizes, group_of_class = np.unique(size_of_class, return_inverse=True)
        sizes, group_of_class = sizes[sizes > 0], group_of_class - int(sizes[0] == 0)
        multiple = lcm(*sizes.tolist())
        total = multiple * int(np.count_nonzero(size_of_class))
        weights = np.array([multiple // size for size in sizes.tolist()], np.int64 if total <= _LARGEST else object)
        return cls(objective, group_of_class[labels], weights, total)

    @property
    def groups(self) -> int:
        return len(self.weights)

    @cached_property
    def rows(self) -> list[np.ndarray]:
        """int: the samples of each group"""
        return [np.flatnonzero(self.group_of == group) for group in range(self.groups)]

    def count(self, is_right: np.ndarray, axis: int = 0) -> np.ndarray:
        """int64 [groups, ...]: the correct samples of each group; ``axis`` of bool ``is_right`` holds all samples."""
        if is_right.ndim == 1:
            return self.count_some(slice(None), is_right)
        if self.groups == 1:
            return np.count_nonzero(is_right, axis=axis)[np.newaxis]
        others = is_right.shape[:axis] + is_right.shape[axis + 1 :]
        counts = np.empty((self.groups, *others), dtype=np.int64)
        for group, rows in enumerate(self.rows):
            of_group = is_right[rows] if axis == 0 else is_right[:, rows]
            counts[group] = np.count_nonzero(of_group, axis=axis)
        return counts

    def count_some(self, samples: np.ndarray | slice, is_right: np.ndarray) -> np.ndarray:
        """int64 [groups]: the correct ones of ``samples``, which ``is_right`` (bool [len(samples)]) marks."""
        if self.groups == 1:
            return np.array([np.count_nonzero(is_right)])
        return np.bincount(self.group_of[samples][is_right], minlength=self.groups)

    def parts(self, samples: np.ndarray, size: int) -> Iterator[tuple[int, slice]]:
        """Split ``samples`` (int), sorted by `sort`, into parts of one group and at most ``size`` samples."""
        ends = [len(samples)]
        if self.groups > 1:
            ends = np.cumsum(np.bincount(self.group_of[samples], minlength=self.groups)).tolist()
        for group, (begin, end) in enumerate(zip([0, *ends], ends, strict=False)):
            for start in range(begin, end, size):
                yield group, slice(start, min(start + size, end))

    def sort(self, samples: np.ndarray) -> np.ndarray:
        """``samples`` (int) by group."""
        return samples if self.groups == 1 else samples[np.argsort(self.group_of[samples], kind="stable")]

    def weigh(self, counts: np.ndarray) -> np.ndarray:
        """[...]: the weighted sums of ``counts`` (int64 [groups, ...]); integers that rank like the objective."""
        return counts[0] if self.objective == "accuracy" else np.dot(self.weights, counts)

    def score(self, counts: np.ndarray, log_loss: float, repeats: int = 1) -> Score:
        """The score of ``counts`` int64 [groups] correct samples, added up over ``repeats`` passes."""
        accuracy = sum(counts.tolist()) / (repeats * len(self.group_of))
        balanced = self.compute_share(counts, repeats) if self.objective == "balanced_accuracy" else None
        return Score(accuracy, log_loss, balanced)

    def compute_share(self, counts: np.ndarray, repeats: int = 1) -> float:
        """The objective for ``counts`` int64 [groups] correct samples, added up over ``repeats`` passes.

        Dividing Python integers rounds once, so that equal shares are equal floats.
        """
        return int(self.weigh(counts)) / (repeats * self.total)

    def score_sum(self, counts: np.ndarray, label_sum: np.ndarray, size: int) -> Score:
        """The score of the mean of ``size`` candidates with ``counts`` int64 [groups] correct samples.

        ``label_sum`` float [samples]: the sum of the candidates' probabilities of the label.
        """
        return self.score(counts, float(negative_log(label_sum / size).mean()))

    @property
    def sample_weights(self) -> np.ndarray:
        """float64 [samples]: the weights, scaled to a mean of 1."""
        scaled = np.array([int(weight) * len(self.group_of) / self.total for weight in self.weights])
        return scaled[self.group_of]

    @property
    def effective_size(self) -> float:
        """The number of samples whose plain share has the variance of this weighted share (Kish 1965)."""
        return len(self.group_of) / float(np.square(self.sample_weights).mean())


def score(probs: np.ndarray, labels: np.ndarray, objective: SelectionObjective = "accuracy") -> Score:
    """The score of float [samples, classes]; with the balanced accuracy if that is the ``objective``."""
    weighting = Weighting.from_labels(labels, objective)
    return weighting.score(weighting.count(is_correct(probs, labels)), float(log_losses(probs, labels).mean()))
