"""Random draws from a `torch.Generator` for NumPy's distributions and torchvision's transforms."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Generator


def draw_seed(generator: Generator) -> int:
    """A seed for another generator."""
    return int(torch.randint(2**62, (), generator=generator))


def draw_beta(alpha: float, generator: Generator) -> float:
    """A draw from Beta(alpha, alpha). NumPy draws it because torch's Beta takes no generator."""
    return float(np.random.default_rng(draw_seed(generator)).beta(alpha, alpha))


@contextmanager
def seeded_globally(generator: Generator) -> Iterator[None]:
    """Seed torch's global CPU generator from ``generator``, and restore its state at the end.

    `torch.manual_seed` would also seed the generators of the GPUs, and this function restores only the CPU's.
    """
    before = torch.get_rng_state()
    torch.default_generator.manual_seed(draw_seed(generator))
    try:
        yield
    finally:
        torch.set_rng_state(before)
