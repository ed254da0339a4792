"""Contrastive regularization: supervised contrastive learning on the class probabilities themselves.

Attract-and-Repulse (AR), "Contrastive Regularization". The papers sum over anchors; callers here take the
mean, so that beta does not depend on the batch size.
"""

import math

import torch
from torch import Tensor


def contrastive_regularization(probs: Tensor, positives: Tensor, tau: float) -> tuple[Tensor, Tensor]:
    """-1/|K(i)| sum_{k in K(i)} log( exp(p_i.p_k / tau) / sum_{a != i} exp(p_i.p_a / tau) ) for every anchor i.

    ``probs`` [batch, classes]: softmax outputs, not L2-normalised; ``positives`` bool [batch, batch]: K(i) as
    rows (the diagonal is ignored); ``tau``: temperature. Returns the terms [batch], 0 for an anchor without a
    positive, and bool [batch], which anchors have one.
    """
    itself = torch.eye(len(probs), dtype=torch.bool, device=probs.device)
    similarity = probs @ probs.T / tau
    log_partition = similarity.masked_fill(itself, -math.inf).logsumexp(1)
    weights = (positives & ~itself).to(probs.dtype)
    count = weights.sum(1)
    attraction = (similarity * weights).sum(1) / count.clamp_min(1)
    has_positive = count > 0
    return torch.where(has_positive, log_partition - attraction, 0), has_positive


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
