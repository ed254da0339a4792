"""AutoGluon's EnsembleSelection by accuracy, every round kept, ties broken at random (its default)."""

import sys
from collections.abc import Sequence

import numpy as np

from benchmarks.peers.ensemble_side import missing, run

try:
    from autogluon.core.metrics import accuracy
    from autogluon.core.models.greedy_ensemble.ensemble_selection import (
        EnsembleSelection,
    )
except ImportError as error:
    missing(error)


def select(probs: list[np.ndarray], labels: np.ndarray, rounds: int) -> Sequence[int]:
    selection = EnsembleSelection(rounds, "multiclass", accuracy)
    selection.use_best = False
    selection.fit(probs, labels)
    return list(selection.indices_)


if __name__ == "__main__":
    run(select, *sys.argv[1:])
