"""Contrastive regularization: supervised contrastive learning on the class probabilities, or on projected features.

Attract-and-Repulse (AR), "Contrastive Regularization". The papers sum over anchors; here a term an anchor is returned.
Nearly all of the time goes into matrix products. Both factors of the products of all rows with each other are the same
rows, so that the backward pass needs one product, where autograd takes two.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import linear


def contrastive_regularization(rows: Tensor, positives: Tensor, tau: float) -> tuple[Tensor, Tensor]:
    """-1/|K(i)| sum_{k in K(i)} log( exp(p_i.p_k / tau) / sum_{a != i} exp(p_i.p_a / tau) ) for every anchor i.

    ``rows`` [batch, width]: the p_i, softmax outputs as they are (not L2-normalised) or L2-normalised features;
    ``positives`` bool [batch, batch]: K(i) as rows (the diagonal is ignored); ``tau``: temperature. Returns the terms
    [batch], 0 for an anchor without a positive, and bool [batch], which anchors have one.
    """
    weights = positives.to(rows.dtype).fill_diagonal_(0)
    count = weights.sum(1)
    has_positive = count > 0
    terms = _Terms.apply(rows, weights.div_(count.clamp_min(1)[:, None]), tau)
    return torch.where(has_positive, terms, 0), has_positive


class _Terms(torch.autograd.Function):
    """-sum_k w_ik log softmax(s_i)_k without k = i, where s = rows @ rows.T / tau and ``weights`` w has rows of sum 1.

    Its derivative by s_ik is softmax(s_i)_k - w_ik, kept from the forward pass as G; by the rows: (G + G.T) @ rows.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weights: Tensor, tau: float) -> Tensor:
        # On the diagonal the lowest finite number: minus infinity times a weight of 0 would be nan.
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
        # A transposed copy goes by blocks, which a sum with the transposed view does not.
        return _product(slopes.T.contiguous().add_(slopes), rows.T), None, None


def _product(left: Tensor, right: Tensor) -> Tensor:
    """left @ right.T. On a CPU torch takes MKL for it, which is half as fast as oneDNN where AMD's have AVX-512."""
    if left.device.type != "cpu" or left.dtype != torch.float32 or not torch.backends.mkldnn.is_available():
        return left @ right.T
    return linear(left.to_mkldnn(), right.contiguous().to_mkldnn()).to_dense()


def positive_pairs(divergence: Tensor, delta: float, views: int) -> Tensor:
    """Which of the ``views`` x batch samples are positives of each other.

    ``divergence`` [batch, batch]: Jensen-Shannon between the images' targets; view v of image i is row
    v * batch + i. The other views of an image always are; with ``delta`` > 0 so is every pair whose targets are
    at most ``delta`` apart. Returns bool [views * batch, views * batch].
    """
    near = torch.eye(len(divergence), dtype=torch.bool, device=divergence.device)
    if delta > 0:
        near = near | (divergence <= delta + 1e-7)
    return near.repeat(views, views)
