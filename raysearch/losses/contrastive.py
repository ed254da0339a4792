"""Contrastive regularization: supervised contrastive learning on class probabilities or on projected features.

Attract-and-Repulse (AR), "Contrastive Regularization". The paper sums over the anchors; `contrastive_regularization`
returns one value per anchor. Matrix products take nearly all of the time. The matrix of similarities is the product of
the rows with themselves, so the backward pass needs one product where autograd computes two.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import linear

from raysearch.config import MethodConfig
from raysearch.losses.gather import gather_labels, gather_views
from raysearch.losses.inputs import LossInputs, to_at_least_float32
from raysearch.losses.jensen_shannon import jensen_shannon


def contrast_views(inputs: LossInputs, method: MethodConfig) -> Tensor:
    """The term of a batch, a scalar: mean or sum over the anchors that have a positive (``method.reduction``)."""
    rows = inputs.log_probs.exp() if method.contrast == "probs" else inputs.embeddings
    assert rows is not None, "contrast: features needs embeddings"
    classes, masses = inputs.labels.classes, inputs.labels.masses
    if method.gather:
        rows = gather_views(rows, method.views)
        classes, masses = gather_labels(classes, masses)
    positives = positive_pairs(jensen_shannon(classes, masses), method.delta, method.views)
    # Autocast would compute the matrix products in bfloat16.
    with torch.autocast(rows.device.type, enabled=False):
        terms, has_positive = contrastive_regularization(to_at_least_float32(rows), positives, method.tau)
    total = terms.sum()
    return total if method.reduction == "sum" else total / has_positive.sum().clamp_min(1)


def contrastive_regularization(rows: Tensor, positives: Tensor, tau: float) -> tuple[Tensor, Tensor]:
    """-1/|K(i)| sum_{k in K(i)} log( exp(p_i.p_k / tau) / sum_{a != i} exp(p_i.p_a / tau) ) for every anchor i.

    ``rows`` [batch, width]: the p_i, softmax outputs (not L2-normalised) or L2-normalised features; ``positives`` bool
    [batch, batch]: row i marks K(i), and the diagonal is ignored; ``tau``: temperature. Returns the terms [batch], 0
    for an anchor without a positive, and bool [batch], which anchors have a positive.
    """
    weights = positives.to(rows.dtype).fill_diagonal_(0)
    count = weights.sum(1)
    has_positive = count > 0
    terms = _Terms.apply(rows, weights.div_(count.clamp_min(1)[:, None]), tau)
    return torch.where(has_positive, terms, 0), has_positive


class _Terms(torch.autograd.Function):
    """-sum_k w_ik log softmax(s_i)_k over k != i, with s = rows @ rows.T / tau. The rows of ``weights`` w sum to 1.

    The derivative by s_ik is G_ik = softmax(s_i)_k - w_ik, saved by the forward pass. The derivative by the rows is
    (G + G.T) @ rows / tau, with the rows of G scaled by the incoming gradient.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weights: Tensor, tau: float) -> Tensor:
        # The diagonal gets the lowest finite number: minus infinity times a weight of 0 would be nan.
        similarity = _product(rows, rows).div_(tau).fill_diagonal_(torch.finfo(rows.dtype).min)
        log_softmax = similarity.log_softmax(1)
        terms = -(log_softmax * weights).sum(1)
        ctx.save_for_backward(rows, log_softmax.exp_().sub_(weights))
        ctx.tau = tau
        return terms

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        rows, slopes = ctx.saved_tensors
        slopes = slopes * (gradient / ctx.tau)[:, None]
        # Adding to a contiguous copy of the transpose is faster than adding the transposed view.
        return _product(slopes.T.contiguous().add_(slopes), rows.T), None, None


def _product(left: Tensor, right: Tensor) -> Tensor:
    """left @ right.T."""
    if left.device.type != "cpu" or left.dtype != torch.float32 or not torch.backends.mkldnn.is_available():
        return left @ right.T
    # On a CPU, torch uses MKL for `@`, which has half of oneDNN's speed on AMD processors with AVX-512.
    return linear(left.to_mkldnn(), right.contiguous().to_mkldnn()).to_dense()


def positive_pairs(divergence: Tensor, delta: float, views: int) -> Tensor:
    """Which of the views * batch samples are positives of each other: bool [views * batch, views * batch].

    ``divergence`` [batch, batch]: Jensen-Shannon divergence between the images' targets; view v of image i is row
    v * batch + i. The views of one image are always positives of each other. With ``delta`` > 0, so are two images
    whose targets have a divergence of at most ``delta``.
    """
    near = torch.eye(len(divergence), dtype=torch.bool, device=divergence.device)
    if delta > 0:
        # 1e-7: the float32 rounding of a divergence that equals delta.
        near = near | (divergence <= delta + 1e-7)
    return near.repeat(views, views)
