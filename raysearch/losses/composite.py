"""The whole objective: CE + alpha RCE + beta CR + gamma MT, and the auxiliary head's own CE and RCE (AR eq. 1)."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from raysearch.config import MethodConfig
from raysearch.losses.contrastive import contrastive_regularization, positive_pairs
from raysearch.losses.cross_entropy import cross_entropy, reverse_cross_entropy
from raysearch.losses.jensen_shannon import jensen_shannon
from raysearch.losses.mean_teacher import mean_teacher


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
class Terms:
    """A batch's loss and its parts, each a scalar: means over the views that count."""

    loss: Tensor
    parts: dict[str, Tensor]


@dataclass(frozen=True)
class CompositeLoss:
    """Puts the terms together. All mathematics are in float32, whatever the network computes in."""

    method: MethodConfig
    label_smoothing: float

    @property
    def needs_teacher(self) -> bool:
        return self.method.gamma > 0

    def __call__(
        self,
        logits: Tensor,
        aux_logits: Tensor | None,
        teacher_logits: Tensor | None,
        targets: SoftTargets,
        epochs_done: float,
    ) -> Terms:
        """``logits`` [views * batch, classes], a view after the other; ``targets`` of the batch's images, the
        same for every view; ``epochs_done``: epochs since the start, with fraction, for the ramp-up.
        """
        method = self.method
        log_probs = logits.float().log_softmax(1)
        smoothed = targets.dense(self.label_smoothing).repeat(method.views, 1)
        loss, parts = self._classification(log_probs, smoothed, "")
        if method.beta > 0:
            parts["cr"] = self._contrastive(log_probs.exp(), targets)
            loss = loss + method.beta * parts["cr"]
        if teacher_logits is not None and method.gamma > 0:
            consistency = mean_teacher(log_probs, teacher_logits.float().log_softmax(1), method.direction)
            parts["mt"] = consistency.mean()
            loss = loss + method.gamma * rampup(epochs_done, method.rampup_epochs) * parts["mt"]
        if aux_logits is not None and method.aux_weight > 0:
            aux_loss, aux_parts = self._classification(aux_logits.float().log_softmax(1), smoothed, "aux_")
            loss = loss + method.aux_weight * aux_loss
            parts |= aux_parts
        return Terms(loss, {"loss": loss.detach(), **{name: part.detach() for name, part in parts.items()}})

    def _classification(self, log_probs: Tensor, targets: Tensor, prefix: str) -> tuple[Tensor, dict[str, Tensor]]:
        parts = {f"{prefix}ce": cross_entropy(log_probs, targets).mean()}
        loss = parts[f"{prefix}ce"]
        if self.method.alpha > 0:
            reverse = reverse_cross_entropy(log_probs, targets, self.method.log_floor).mean()
            parts[f"{prefix}rce"] = reverse
            loss = loss + self.method.alpha * reverse
        return loss, parts

    def _contrastive(self, probs: Tensor, targets: SoftTargets) -> Tensor:
        """Mean over the anchors that have a positive."""
        divergence = jensen_shannon(targets.classes, targets.masses)
        positives = positive_pairs(divergence, self.method.delta, self.method.views)
        terms, has_positive = contrastive_regularization(probs, positives, self.method.tau)
        return terms.sum() / has_positive.sum().clamp_min(1)


def rampup(epochs_done: float, rampup_epochs: float) -> float:
    """exp(-5 (1 - t/T)^2) up to T, then 1 (Tarvainen and Valpola 2017); T = 0: always 1."""
    if rampup_epochs <= 0 or epochs_done >= rampup_epochs:
        return 1.0
    return math.exp(-5 * (1 - epochs_done / rampup_epochs) ** 2)
