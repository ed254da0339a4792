"""A direct implementation of greedy selection, and libraries with many ties and near ties for comparing with it."""

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from raysearch.ensemble.selection import PROBABILITY_FLOOR, Score, SelectionObjective


def plain_greedy(
    probs: Sequence[np.ndarray],
    labels: np.ndarray,
    rounds: int,
    start: Sequence[int] = (),
    objective: SelectionObjective = "accuracy",
) -> tuple[list[int], list[Score]]:
    """Picks and the score after each: in every round the argmax of every sample with every candidate added."""
    total, picks, scores = np.zeros(probs[0].shape), [], []
    for size in range(1, rounds + 1):
        choice = range(len(probs)) if size > len(start) else [start[size - 1]]
        ranked = [(*plain_rank(total + probs[j].astype(np.float64), labels, size, objective), j) for j in choice]
        wrong, loss, best = min(ranked)
        total += probs[best]
        picks.append(best)
        accuracy = np.count_nonzero(total.argmax(axis=1) == labels) / len(labels)
        scores.append(Score(accuracy, loss, float(1 - wrong) if objective == "balanced_accuracy" else None))
    return picks, scores


def plain_rank(
    total: np.ndarray, labels: np.ndarray, size: int, objective: SelectionObjective = "accuracy"
) -> tuple[Fraction, float]:
    """Less is better: the share of samples that the mean gets wrong, overall or as the mean over the classes that have
    samples, without rounding; and its log loss."""
    label_probs = total[np.arange(len(labels)), labels] / size
    loss = float(np.mean(-np.log(np.maximum(label_probs, PROBABILITY_FLOOR))))
    wrong = total.argmax(axis=1) != labels
    if objective == "accuracy":
        return Fraction(int(wrong.sum()), len(labels)), loss
    shares = [Fraction(int(wrong[labels == k].sum()), int((labels == k).sum())) for k in np.unique(labels)]
    return sum(shares, Fraction(0)) / len(shares), loss


def random_probs(rng: np.random.Generator, kind: str, shape: tuple[int, int, int]) -> np.ndarray:
    """float64 [candidates, samples, classes], of a kind that makes ties, near ties, or neither."""
    classes = shape[2]
    even = np.full(classes, 1 / classes)
    if kind == "smooth":
        return rng.dirichlet(np.ones(classes), size=shape[:2])
    if kind == "sure":  # probabilities of labels that underflow, and some that are 0
        return rng.dirichlet(np.full(classes, 0.05), size=shape[:2])
    if kind == "one-hot":
        return np.eye(classes)[rng.integers(classes, size=shape[:2])]
    if kind == "quarters":
        return rng.multinomial(4, even, size=shape[:2]) / 4
    if kind == "tenths":  # sums that depend on their order
        return rng.multinomial(10, even, size=shape[:2]) / 10
    if kind == "near ties":
        far = 10.0 ** rng.integers(-17, -3, size=shape)
        return np.maximum(rng.multinomial(4, even, size=shape[:2]) / 4 + far * rng.standard_normal(shape), 0)
    assert kind == "scores", kind  # no probabilities: thousands, or billionths
    return rng.random(shape) * 10.0 ** rng.integers(-9, 4)


KINDS = ("smooth", "sure", "one-hot", "quarters", "tenths", "near ties", "scores")
DTYPES = (np.float32, np.float16, np.float64)


def random_library(
    seed: int, candidates: int = 6, samples: int = 12, classes: int = 5
) -> tuple[list[np.ndarray], np.ndarray]:
    """A library of at most that size, of any kind and type; every other seed repeats some of its candidates.

    Some have one candidate, one class, or classes without samples.
    """
    rng = np.random.default_rng(seed)
    shape = int(rng.integers(1, candidates + 1)), int(rng.integers(1, samples + 1)), int(rng.integers(1, classes + 1))
    probs = random_probs(rng, KINDS[seed % len(KINDS)], shape)
    if rng.random() < 0.5:
        probs = probs[rng.integers(shape[0], size=shape[0])]
    labels = rng.integers(max(1, shape[2] - seed % 3), size=shape[1]).astype(np.int32)
    return list(probs.astype(DTYPES[seed // len(KINDS) % len(DTYPES)])), labels


def learned_library(
    seed: int, candidates: int, samples: int, classes: int, dtype: type = np.float32
) -> tuple[list[np.ndarray], np.ndarray]:
    """Candidates that have learned something: errors partly their own, partly shared; some better than others."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(classes, size=samples)
    shared = rng.standard_normal((samples, classes))
    probs = []
    for _ in range(candidates):
        logits = shared + rng.standard_normal((samples, classes))
        logits[np.arange(samples), labels] += rng.uniform(0.8, 1.1) * np.log(classes)
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        probs.append((weights / weights.sum(axis=1, keepdims=True)).astype(dtype))
    return probs, labels
