"""Randomness from our generator for what takes none: NumPy's distributions and torchvision's transforms."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Generator


def draw_seed(generator: Generator) -> int:
    """A seed for another generator."""
    return int(torch.randint(2**62, (), generator=generator))


def draw_beta(alpha: float, generator: Generator) -> float:
    """A draw from Beta(alpha, alpha). torch's own takes no generator."""
    return float(np.random.default_rng(draw_seed(generator)).beta(alpha, alpha))


@contextmanager
def seeded_globally(generator: Generator) -> Iterator[None]:
    """Inside, torch's global CPU generator is seeded from ``generator``; after it, it is as it was found.

    `torch.manual_seed` would seed the GPUs' generators too, and leave them so.
    """
    before = torch.get_rng_state()
    torch.default_generator.manual_seed(draw_seed(generator))
    try:
        yield
    finally:
        torch.set_rng_state(before)
