"""Tensors that loss terms read."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor


@dataclass(frozen=True)
class SoftTargets:
    """Mixed labels of a batch: ``masses`` float [batch, slots] at ``classes`` int64 [batch, slots]."""

    classes: Tensor
    masses: Tensor
    num_classes: int

    def dense(self, label_smoothing: float) -> Tensor:
        """[batch, classes], smoothed as (1 - eps) q + eps / classes."""
        shape = (len(self.classes), self.num_classes)
        targets = torch.zeros(shape, dtype=self.masses.dtype, device=self.masses.device)
        targets.scatter_add_(1, self.classes, self.masses)
        return targets * (1 - label_smoothing) + label_smoothing / self.num_classes


@dataclass(frozen=True)
class LossInputs:
    """Everything that a loss term can read. All rows of one view come before those of the next view."""

    logits: Tensor
    """[views * batch, classes], of the final head or of the auxiliary head"""
    targets: Tensor
    """[views * batch, classes], rows sum to 1, with label smoothing"""
    labels: SoftTargets
    """The batch's labels, without label smoothing; the same for every view"""
    teacher_logits: Tensor | None = None
    """[views * batch, classes]; given if an active term has `Term.needs_teacher`"""
    embeddings: Tensor | None = None
    """[views * batch, width], L2-normalised; given if an active term has `Term.needs_embeddings`"""

    @cached_property
    def log_probs(self) -> Tensor:
        """[views * batch, classes], float32 or float64."""
        return to_at_least_float32(self.logits).log_softmax(1)

    @cached_property
    def teacher_log_probs(self) -> Tensor:
        """[views * batch, classes], float32 or float64."""
        assert self.teacher_logits is not None, "the term needs teacher_logits"
        return to_at_least_float32(self.teacher_logits).log_softmax(1)


def to_at_least_float32(values: Tensor) -> Tensor:
    """The values in float32; float64 stays float64."""
    return values.to(torch.promote_types(values.dtype, torch.float32))
