"""Cross entropy and reverse cross entropy. Their weighted sum is symmetric cross entropy.

Wang et al. 2019, Symmetric Cross Entropy for Robust Learning with Noisy Labels.
"""

import math

from torch import Tensor


def cross_entropy(log_probs: Tensor, targets: Tensor) -> Tensor:
    """H(q, p) = -sum_c q_c log p_c.

    ``log_probs`` and ``targets`` (soft, rows sum to 1): [batch, classes]; returns [batch], in nats.
    """
    return -(targets * log_probs).sum(1)


def reverse_cross_entropy(log_probs: Tensor, targets: Tensor, log_floor: float) -> Tensor:
    """H(p, q) = -sum_c p_c max(log q_c, log_floor): prediction and target swap places.

    ``log_floor`` replaces log 0 (A in Wang et al.). Shapes as in `cross_entropy`; returns [batch], in nats.
    """
    log_targets = targets.clamp_min(math.exp(log_floor)).log()
    return -(log_probs.exp() * log_targets).sum(1)
