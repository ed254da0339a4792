"""Contrastive regularization, forward and backward, against the common form of the supervised contrastive loss.

1024 rows of 1000 class probabilities, eight rows per class, float32. The peer is the loss of Khosla et al. 2020
(equation 2) in its common form: 0-1 masks, the row maximum subtracted before the exponential, autograd.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.measure import Measured, speedup
from raysearch.losses import contrastive_regularization

NAME = "contrastive_supcontrast"
BOUND = 1.2
IS_AT_MOST = False
ROWS, CLASSES, TAU = 1024, 1000, 0.1


def samples() -> tuple[Tensor, Tensor]:
    """Class probabilities [rows, classes] with gradient, and labels [rows]."""
    generator = torch.Generator().manual_seed(0)
    probs = (2 * torch.randn(ROWS, CLASSES, generator=generator)).softmax(1)
    return probs.requires_grad_(), torch.arange(ROWS) % (ROWS // 8)


def our_loss(probs: Tensor, positives: Tensor) -> Tensor:
    terms, has_positive = contrastive_regularization(probs, positives, TAU)
    return terms.sum() / has_positive.sum()


def usual_loss(probs: Tensor, positives: Tensor) -> Tensor:
    """``positives``: float [rows, rows], 1 for pairs of the same class, 0 on the diagonal."""
    others = 1 - torch.eye(len(probs))
    logits = probs @ probs.T / TAU
    logits = logits - logits.max(dim=1, keepdim=True).values.detach()
    log_share = logits - (logits.exp() * others).sum(1, keepdim=True).log()
    return -((positives * log_share).sum(1) / positives.sum(1)).mean()


def forward_backward(
    loss: Callable[[Tensor, Tensor], Tensor], probs: Tensor, positives: Tensor
) -> tuple[Tensor, Tensor]:
    """The loss and its gradient."""
    value = loss(probs, positives)
    (gradient,) = torch.autograd.grad(value, probs)
    return value.detach(), gradient


def measure() -> Measured:
    probs, labels = samples()
    positives = labels[:, None] == labels
    mask = positives.float().fill_diagonal_(0)

    def ours() -> tuple[Tensor, Tensor]:
        return forward_backward(our_loss, probs, positives)

    def usual() -> tuple[Tensor, Tensor]:
        return forward_backward(usual_loss, probs, mask)

    torch.testing.assert_close(ours(), usual(), rtol=1e-4, atol=1e-8)
    return speedup(ours, usual, pairs=15)
