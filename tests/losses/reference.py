"""The loss terms as in the papers, with float64 and plain loops. Independent of `raysearch.losses`."""

import math

import numpy as np


def dense(classes, masses, num_classes):
    """Labels as rows over all classes."""
    labels = np.zeros((len(classes), num_classes))
    for row, (its_classes, its_masses) in enumerate(zip(classes, masses, strict=True)):
        for c, mass in zip(its_classes, its_masses, strict=True):
            labels[row, c] += mass
    return labels


def softmax(logits):
    exp = np.exp(logits - logits.max(1, keepdims=True))
    return exp / exp.sum(1, keepdims=True)


def cross_entropy(p, q):
    return np.array([-sum(b * math.log(a) for a, b in zip(*rows, strict=True)) for rows in zip(p, q, strict=True)])


def reverse_cross_entropy(p, q, log_floor):
    def log(b):
        return max(math.log(b), log_floor) if b > 0 else log_floor

    return np.array([-sum(a * log(b) for a, b in zip(*rows, strict=True)) for rows in zip(p, q, strict=True)])


def kl(p, q):
    return np.array(
        [sum(a * math.log(a / b) for a, b in zip(*r, strict=True) if a > 0) for r in zip(p, q, strict=True)]
    )


def jensen_shannon(labels):
    """Every pair of rows of ``labels``."""
    n = len(labels)
    found = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            p, q = labels[i : i + 1], labels[j : j + 1]
            found[i, j] = (kl(p, (p + q) / 2)[0] + kl(q, (p + q) / 2)[0]) / 2
    return found


def contrastive(p, positives, tau):
    """One value per anchor, None for an anchor without a positive."""
    terms = []
    for i in range(len(p)):
        partition = sum(math.exp(p[i] @ p[a] / tau) for a in range(len(p)) if a != i)
        own = [math.log(math.exp(p[i] @ p[k] / tau) / partition) for k in range(len(p)) if k != i and positives[i][k]]
        terms.append(-sum(own) / len(own) if own else None)
    return terms
