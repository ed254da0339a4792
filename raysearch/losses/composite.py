"""The whole objective: CE + alpha RCE + beta CR + gamma MT, and the auxiliary head's own CE and RCE (AR eq. 1)."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from raysearch.config import MethodConfig
from raysearch.losses.contrastive import contrastive_regularization, positive_pairs
from raysearch.losses.cross_entropy import cross_entropy, reverse_cross_entropy
from raysearch.losses.gather import gather_labels, gather_views
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
    """Puts the terms together. All mathematics are in float32, whatever the network computes in (float64 stays)."""

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
        embeddings: Tensor | None = None,
    ) -> Terms:
        """``logits`` [views * batch, classes], a view after the other; ``targets`` of the batch's images, the
        same for every view; ``epochs_done``: epochs since the start, with fraction, for the ramp-up; ``embeddings``
        [views * batch, width], L2-normalised: what ``contrast: features`` contrasts.
        """
        method = self.method
        log_probs = _log_probs(logits)
        smoothed = targets.dense(self.label_smoothing).repeat(method.views, 1)
        loss, parts = self._classification(log_probs, smoothed, "")
        if method.beta > 0:
            parts["cr"] = self._contrastive(log_probs.exp() if method.contrast == "probs" else embeddings, targets)
            loss = loss + method.beta * parts["cr"]
        if teacher_logits is not None and method.gamma > 0:
            parts["mt"] = mean_teacher(log_probs, _log_probs(teacher_logits), method.direction).mean()
            loss = loss + method.gamma * rampup(epochs_done, method.rampup_epochs) * parts["mt"]
        if aux_logits is not None and method.aux_weight > 0:
            aux_loss, aux_parts = self._classification(_log_probs(aux_logits), smoothed, "aux_")
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

    def _contrastive(self, rows: Tensor | None, targets: SoftTargets) -> Tensor:
        """Mean or sum over the anchors that have a positive."""
        assert rows is not None, "contrast: features needs embeddings"
        classes, masses = targets.classes, targets.masses
        if self.method.gather:
            rows = gather_views(rows, self.method.views)
            classes, masses = gather_labels(classes, masses)
        positives = positive_pairs(jensen_shannon(classes, masses), self.method.delta, self.method.views)
        with torch.autocast(rows.device.type, enabled=False):
            terms, has_positive = contrastive_regularization(_at_least_float32(rows), positives, self.method.tau)
        total = terms.sum()
        return total if self.method.reduction == "sum" else total / has_positive.sum().clamp_min(1)


def _log_probs(logits: Tensor) -> Tensor:
    return _at_least_float32(logits).log_softmax(1)


def _at_least_float32(values: Tensor) -> Tensor:
    return values.to(torch.promote_types(values.dtype, torch.float32))


def rampup(epochs_done: float, rampup_epochs: float) -> float:
    """exp(-5 (1 - t/T)^2) up to T, then 1 (Tarvainen and Valpola 2017); T = 0: always 1."""
    if rampup_epochs <= 0 or epochs_done >= rampup_epochs:
        return 1.0
    return math.exp(-5 * (1 - epochs_done / rampup_epochs) ** 2)
