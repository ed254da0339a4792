"""Greedy selection, 50 rounds, from nearly flat noise of a million cells: at most 1.25 times plain numpy's time.

Bounds decide almost nothing here: candidates differ by far less than the votes of a few of them. The figure is the
worst of four shapes with the same number of cells; the note has all of them. Picks are equal.
"""

from functools import partial

import numpy as np

from benchmarks.measure import Measured, median_ratio, milliseconds, paired
from benchmarks.rows.ensemble_small import ROUNDS, select_plainly
from raysearch.ensemble.selection import select_greedy

NAME = "ensemble_noise"
BOUND = 0.8
IS_AT_MOST = False
SHAPES = ((5000, 20, 10), (1000, 100, 10), (100, 1000, 10), (20, 500, 100))
"""Candidates, samples, classes"""
PAIRS = 5


def make_noise(candidates: int, samples: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """float32 [candidates, samples, classes] that differ from a uniform guess by a thousandth, and int [samples]."""
    rng = np.random.default_rng(0)
    probs = rng.dirichlet(np.full(classes, 1e6), size=(candidates, samples)).astype(np.float32)
    return probs, rng.integers(classes, size=samples)


def measure() -> Measured:
    found = {}
    for shape in SHAPES:
        probs, labels = make_noise(*shape)
        library = list(probs)
        assert list(select_greedy(library, labels, ROUNDS).picks) == select_plainly(probs, labels)
        ours = partial(select_greedy, library, labels, ROUNDS)
        found[shape] = paired(ours, partial(select_plainly, probs, labels), pairs=PAIRS)
    ratios = {shape: median_ratio(plain, ours) for shape, (ours, plain) in found.items()}
    worst = min(ratios, key=lambda shape: ratios[shape])
    note = ", ".join(f"{' x '.join(map(str, shape))}: {ratio:.2f}" for shape, ratio in ratios.items())
    return Measured(ratios[worst], milliseconds(found[worst][0]), milliseconds(found[worst][1]), note)
