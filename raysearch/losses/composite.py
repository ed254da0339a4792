"""The objective: the weighted sum of `TERMS`, plus the auxiliary head's terms (AR eq. 1).

CE + alpha RCE + beta CR + gamma MT + aux_weight (CE + alpha RCE of the auxiliary head).
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from torch import Tensor

from raysearch.config import MethodConfig
from raysearch.losses.inputs import LossInputs, SoftTargets
from raysearch.losses.terms import TERMS, Term, needs_teacher


@dataclass(frozen=True)
class BatchLoss:
    """The loss of a batch and its parts by name, each a scalar. The parts are detached and not weighted."""

    loss: Tensor
    parts: dict[str, Tensor]


@dataclass(frozen=True)
class CompositeLoss:
    """Sums the terms. Computes in float32 whatever the precision of the network; float64 stays float64."""

    method: MethodConfig
    label_smoothing: float

    @property
    def needs_teacher(self) -> bool:
        return needs_teacher(self.method)

    def __call__(
        self,
        logits: Tensor,
        aux_logits: Tensor | None,
        teacher_logits: Tensor | None,
        targets: SoftTargets,
        epochs_done: float,
        embeddings: Tensor | None = None,
    ) -> BatchLoss:
        """The loss of one batch.

        ``logits``, ``aux_logits`` and ``teacher_logits`` [views * batch, classes], all rows of one view before those
        of the next; ``targets`` of the batch's images, the same for every view; ``epochs_done``: epochs since the
        start, with fraction, for the ramp-up; ``embeddings`` [views * batch, width], L2-normalised, for
        ``contrast: features``.
        """
        smoothed = targets.dense(self.label_smoothing).repeat(self.method.views, 1)
        inputs = LossInputs(logits, smoothed, targets, teacher_logits, embeddings)
        loss, parts = self._sum_terms(TERMS, inputs, epochs_done)
        if aux_logits is not None and self.method.aux_weight > 0:
            aux_terms = [term for term in TERMS if term.on_aux_head]
            aux_loss, aux_parts = self._sum_terms(aux_terms, replace(inputs, logits=aux_logits), epochs_done)
            loss = loss + self.method.aux_weight * aux_loss
            parts |= {f"aux_{name}": part for name, part in aux_parts.items()}
        return BatchLoss(loss, {"loss": loss.detach(), **{name: part.detach() for name, part in parts.items()}})

    def _sum_terms(
        self, terms: Iterable[Term], inputs: LossInputs, epochs_done: float
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted sum of the active terms, and the value of each without its weight."""
        loss, parts = inputs.log_probs.new_zeros(()), {}
        for term in terms:
            if term.is_active(self.method):
                # A term that reduces itself returns a scalar, which the mean does not change.
                parts[term.name] = term.compute(inputs, self.method).mean()
                loss = loss + self._weight(term, epochs_done) * parts[term.name]
        return loss, parts

    def _weight(self, term: Term, epochs_done: float) -> float:
        weight = 1.0 if term.weight is None else getattr(self.method, term.weight)
        if term.rampup_epochs is not None:
            weight *= rampup(epochs_done, getattr(self.method, term.rampup_epochs))
        return float(weight)


def rampup(epochs_done: float, rampup_epochs: float) -> float:
    """exp(-5 (1 - t/T)^2) up to T, then 1 (Tarvainen and Valpola 2017); T = 0: always 1."""
    if rampup_epochs <= 0 or epochs_done >= rampup_epochs:
        return 1.0
    return math.exp(-5 * (1 - epochs_done / rampup_epochs) ** 2)
