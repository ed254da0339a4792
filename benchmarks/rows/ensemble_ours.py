"""Our side of the ensemble rows, a script like those of the peers. Calls ``select_greedy`` as the command does."""

import sys
from collections.abc import Sequence

import numpy as np

from benchmarks.peers.ensemble_side import run
from raysearch.ensemble.selection import select_greedy


def select(probs: list[np.ndarray], labels: np.ndarray, rounds: int) -> Sequence[int]:
    return select_greedy(probs, labels, rounds).picks


if __name__ == "__main__":
    library, found, rounds, *mapped = sys.argv[1:]
    run(select, library, found, rounds, is_mapped=bool(mapped))
