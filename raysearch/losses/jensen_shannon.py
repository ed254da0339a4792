"""Pairwise Jensen-Shannon divergence of mixed labels, without a tensor of batch x batch x classes.

A mixed label has at most a few classes. Writing phi(x) = x log x, JSD(p, q) is the sum over classes of
(phi(p_c) + phi(q_c)) / 2 - phi((p_c + q_c) / 2). Where only p has mass the class adds p_c log(2) / 2, so rows
that share no class are log 2 apart, and only shared classes change that. Each row keeps K (class, mass)
slots; comparing slot a of every row with slot b of every row takes K^2 matrices of batch x batch.
"""

import math

import torch
from torch import Tensor


def jensen_shannon(classes: Tensor, masses: Tensor) -> Tensor:
    """Exact divergence, in nats, of every pair of labels.

    ``classes`` int64 and ``masses`` float, both [batch, slots]: a row's label has ``masses`` at ``classes``,
    sums to 1, and a class that stands in two slots counts with the sum. Returns [batch, batch], from 0 to log 2.
    """
    masses = _merge_repeated(classes, masses)
    slots = classes.shape[1]
    divergence = torch.full((len(classes), len(classes)), math.log(2), dtype=masses.dtype, device=masses.device)
    for a in range(slots):
        for b in range(slots):
            p, q = masses[:, a, None], masses[None, :, b]
            middle = (p + q) / 2
            both = (torch.special.xlogy(p, p) + torch.special.xlogy(q, q)) / 2 - torch.special.xlogy(middle, middle)
            is_shared = (classes[:, a, None] == classes[None, :, b]) & (p > 0) & (q > 0)
            divergence += torch.where(is_shared, both - middle * math.log(2), 0)
    return divergence.clamp_min(0)


def _merge_repeated(classes: Tensor, masses: Tensor) -> Tensor:
    """Masses with a repeated class's whole mass in its first slot and 0 in the later ones."""
    same = classes[:, :, None] == classes[:, None, :]
    merged = (same * masses[:, None, :]).sum(2)
    is_repeat = torch.tril(same, diagonal=-1).any(2)
    return merged.masked_fill(is_repeat, 0)
