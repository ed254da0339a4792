"""Loss terms and their weighted sum. Each term is a pure function in its own file and a row of `terms.TERMS`."""

from raysearch.losses.composite import BatchLoss, CompositeLoss
from raysearch.losses.contrastive import contrastive_regularization
from raysearch.losses.cross_entropy import cross_entropy, reverse_cross_entropy
from raysearch.losses.inputs import SoftTargets
from raysearch.losses.jensen_shannon import jensen_shannon
from raysearch.losses.mean_teacher import mean_teacher
from raysearch.losses.terms import TERMS, has_rampup, needs_embeddings, needs_teacher

__all__ = [
    "TERMS",
    "BatchLoss",
    "CompositeLoss",
    "SoftTargets",
    "contrastive_regularization",
    "cross_entropy",
    "has_rampup",
    "jensen_shannon",
    "mean_teacher",
    "needs_embeddings",
    "needs_teacher",
    "reverse_cross_entropy",
]
