"""Pairwise Jensen-Shannon divergence of mixed labels, without a tensor of batch x batch x classes.

With phi(x) = x log x, JSD(p, q) = log 2 - 1/2 sum_c [ phi(p_c + q_c) - phi(p_c) - phi(q_c) ]. Only classes that p
and q share contribute to the sum; labels without a shared class have the divergence log 2. A label has a few
(class, mass) slots, so the sum runs over pairs of slots, with one batch x batch matrix per pair. The cost does not
depend on the number of classes.
"""

import math

import torch
from torch import Tensor


def jensen_shannon(classes: Tensor, masses: Tensor) -> Tensor:
    """Exact divergence, in nats, of every pair of labels.

    ``classes`` int64 and ``masses`` float, both [batch, slots]: a label has ``masses`` at ``classes``. Each row of
    ``masses`` sums to 1; a class in two slots has the sum of both. Returns [batch, batch], symmetric, from 0 to log 2.
    """
    masses = _merge_repeated(classes, masses).T.contiguous()
    classes = classes.T.contiguous()
    own = _x_log_x(masses)
    shared = masses.new_zeros(masses.shape[1], masses.shape[1])
    for a in range(len(masses)):
        for b in range(a + 1):
            gain = _x_log_x(masses[a, :, None] + masses[b]).sub_(own[a, :, None]).sub_(own[b])
            gain.mul_(classes[a, :, None] == classes[b])
            # Adding the transpose below accounts for the pair (b, a), and counts (a, a) twice.
            shared.add_(gain, alpha=1 if a != b else 0.5)
    return (math.log(2) - (shared + shared.T) / 2).clamp_min(0)


def _x_log_x(x: Tensor) -> Tensor:
    """x log x, and 0 at 0. `torch.xlogy` takes about twice as long."""
    return x.clamp_min(torch.finfo(x.dtype).tiny).log_().mul_(x)


def _merge_repeated(classes: Tensor, masses: Tensor) -> Tensor:
    """Masses where the first slot of a repeated class has its total mass and later slots have 0."""
    same = classes[:, :, None] == classes[:, None, :]
    merged = (same * masses[:, None, :]).sum(2)
    is_repeat = torch.tril(same, diagonal=-1).any(2)
    return merged.masked_fill(is_repeat, 0)
