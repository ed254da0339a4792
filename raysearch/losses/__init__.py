"""The objective's terms, one a file: pure functions of tensors, a value a sample, no reduction."""

from raysearch.losses.composite import CompositeLoss, SoftTargets, Terms
from raysearch.losses.contrastive import contrastive_regularization
from raysearch.losses.cross_entropy import cross_entropy, reverse_cross_entropy
from raysearch.losses.jensen_shannon import jensen_shannon
from raysearch.losses.mean_teacher import mean_teacher

__all__ = [
    "CompositeLoss",
    "SoftTargets",
    "Terms",
    "contrastive_regularization",
    "cross_entropy",
    "jensen_shannon",
    "mean_teacher",
    "reverse_cross_entropy",
]
