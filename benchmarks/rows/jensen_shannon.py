"""Pairwise Jensen-Shannon divergence of mixed labels against the dense form over batch x batch x classes.

256 labels, each a mix of two of 1000 classes, in float32, as in a CutMix batch. Our result must also be within 1e-6 of
the dense form in float64, here and for mixes of four images. The note has the time for mixes of four.
"""

import torch
from torch import Tensor
from torch.special import entr

from benchmarks.measure import Measured, milliseconds, paired, speedup
from raysearch.losses import SoftTargets, jensen_shannon

NAME = "jensen_shannon"
BOUND = 500.0
IS_AT_MOST = False
BATCH, CLASSES = 256, 1000


def mixed_labels(slots: int) -> SoftTargets:
    generator = torch.Generator().manual_seed(0)
    classes = torch.randint(CLASSES, (BATCH, slots), generator=generator)
    shares = torch.rand(BATCH, slots, generator=generator)
    return SoftTargets(classes, shares / shares.sum(1, keepdim=True), CLASSES)


def dense(labels: Tensor) -> Tensor:
    """The definition, (KL(p || m) + KL(q || m)) / 2 with m = (p + q) / 2."""
    logs = labels.clamp_min(torch.finfo(labels.dtype).tiny).log()
    log_middle = ((labels[:, None] + labels) / 2).clamp_min(torch.finfo(labels.dtype).tiny).log()
    p_to_middle = (labels[:, None] * (logs[:, None] - log_middle)).sum(2)
    q_to_middle = (labels * (logs - log_middle)).sum(2)
    return (p_to_middle + q_to_middle) / 2


def dense_entropies(some: Tensor, labels: Tensor) -> Tensor:
    """H((p + q) / 2) - (H(p) + H(q)) / 2 for each row p of ``some`` and each row q of ``labels``.

    This is the fastest dense form.
    """
    middle = entr((some[:, None] + labels) / 2).sum(2)
    return middle - (entr(some).sum(1)[:, None] + entr(labels).sum(1)) / 2


def measure_error(targets: SoftTargets) -> float:
    """Our largest error against the dense form in float64, which is computed row by row to save memory."""
    labels = targets.dense(0.0).double()
    exact = torch.cat([dense_entropies(row, labels) for row in labels.split(1)])
    return float((jensen_shannon(targets.classes, targets.masses) - exact).abs().max())


def measure() -> Measured:
    two, four = mixed_labels(2), mixed_labels(4)
    errors = [measure_error(targets) for targets in (two, four)]
    assert max(errors) < 1e-6, errors
    labels = two.dense(0.0)
    of_four, by_entropies = paired(
        lambda: jensen_shannon(four.classes, four.masses), lambda: dense_entropies(labels, labels), pairs=3
    )
    note = (
        f"largest error {max(errors):.1e}; four mixed into one: {milliseconds(of_four)}; "
        f"the fastest dense form: {milliseconds(by_entropies)}"
    )
    return speedup(lambda: jensen_shannon(two.classes, two.masses), lambda: dense(labels), pairs=5, note=note)
