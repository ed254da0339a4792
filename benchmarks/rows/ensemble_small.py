"""Greedy selection, 50 rounds, 22 models x 200 samples x 10 classes, against plain numpy: as fast, the same picks.

This is the size of most users' libraries. The note has the time for nearly flat probabilities, which tell candidates
apart the least.
"""

import tempfile
from pathlib import Path

import numpy as np

from benchmarks.measure import Measured, milliseconds, paired, speedup
from benchmarks.rows.ensemble_library import Library
from raysearch.ensemble.selection import select_greedy

NAME = "ensemble_small"
BOUND = 0.8
IS_AT_MOST = False
LIBRARY = Library(models=22, samples=200, classes=10)
ROUNDS = 50


def select_plainly(probs: np.ndarray, labels: np.ndarray) -> list[int]:
    """Greedy selection without any care for speed. Ties go to the lower log loss, then to the first."""
    library, samples = probs.astype(np.float64), np.arange(len(labels))
    total, picks = np.zeros(library.shape[1:]), []
    for size in range(1, ROUNDS + 1):
        sums = library + total
        right = (sums.argmax(axis=2) == labels).sum(axis=1)
        losses = -np.log(np.maximum(sums[:, samples, labels] / size, 1e-12)).mean(axis=1)
        picks.append(min(range(len(library)), key=lambda model: (-right[model], losses[model])))
        total += library[picks[-1]]
    return picks


def measure() -> Measured:
    with tempfile.TemporaryDirectory() as folder:
        LIBRARY.write(Path(folder))
        probs, labels = np.load(Path(folder) / "probs.npy"), np.load(Path(folder) / "labels.npy")
    flat = np.random.default_rng(0).dirichlet(np.full(LIBRARY.classes, 1e6), size=probs.shape[:2]).astype(np.float32)
    for library in (probs, flat):
        assert list(select_greedy(list(library), labels, ROUNDS).picks) == select_plainly(library, labels)
    ours, plain = paired(lambda: select_greedy(list(flat), labels, ROUNDS), lambda: select_plainly(flat, labels))
    note = f"nearly flat: {milliseconds(ours)} against {milliseconds(plain)}"
    return speedup(lambda: select_greedy(list(probs), labels, ROUNDS), lambda: select_plainly(probs, labels), note=note)
