"""The table of loss terms. The order of `TERMS` is the order of summation and of the logged parts.

To add a term: write its function in a file of this folder, add its weight to `MethodConfig`, add a row to `TERMS`, set
the weight in a space file, and test the function in tests/losses.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from raysearch.config import MethodConfig
from raysearch.losses.contrastive import contrast_views
from raysearch.losses.cross_entropy import cross_entropy, reverse_cross_entropy
from raysearch.losses.inputs import LossInputs
from raysearch.losses.mean_teacher import mean_teacher


@dataclass(frozen=True)
class Term:
    """One term of the objective."""

    name: str
    """The key of its value in metrics.jsonl; on the auxiliary head with the prefix ``aux_``"""
    compute: Callable[[LossInputs, MethodConfig], Tensor]
    """Returns one value per sample, [views * batch], or a scalar if the term has its own reduction. The objective uses
    the mean of the values."""
    weight: str | None = None
    """The `MethodConfig` field that scales the term; 0 switches the term off. None: the weight is 1"""
    rampup_epochs: str | None = None
    """The `MethodConfig` field with the epochs over which the weight rises. None: no ramp-up"""
    on_aux_head: bool = False
    """Whether the auxiliary head has this term too"""
    needs_teacher: bool = False
    needs_embeddings: Callable[[MethodConfig], bool] = lambda method: False

    def is_active(self, method: MethodConfig) -> bool:
        return self.weight is None or getattr(method, self.weight) > 0


TERMS = (
    Term(
        "ce",
        lambda inputs, method: cross_entropy(inputs.log_probs, inputs.targets),
        on_aux_head=True,
    ),
    Term(
        "rce",
        lambda inputs, method: reverse_cross_entropy(inputs.log_probs, inputs.targets, method.log_floor),
        weight="alpha",
        on_aux_head=True,
    ),
    Term(
        "cr",
        contrast_views,
        weight="beta",
        needs_embeddings=lambda method: method.contrast == "features",
    ),
    Term(
        "mt",
        lambda inputs, method: mean_teacher(inputs.log_probs, inputs.teacher_log_probs, method.direction),
        weight="gamma",
        rampup_epochs="rampup_epochs",
        needs_teacher=True,
    ),
)


def needs_teacher(method: MethodConfig) -> bool:
    """Whether a term with a weight above 0 reads the teacher's logits."""
    return any(term.needs_teacher for term in TERMS if term.is_active(method))


def has_rampup(method: MethodConfig) -> bool:
    """Whether a term with a weight above 0 has a ramp-up."""
    return any(term.rampup_epochs is not None for term in TERMS if term.is_active(method))


def needs_embeddings(method: MethodConfig) -> bool:
    """Whether a term with a weight above 0 reads the projector's output."""
    return any(term.needs_embeddings(method) for term in TERMS if term.is_active(method))
