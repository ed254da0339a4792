"""A search of 16 trials on two cores against its 16 trainings without a search: at most 1.15 times as long.

Ours is the whole command: start of Python, preflight checks, start of Ray, two trials at a time with one thread each,
end of Ray. The peer trains the same configs in two processes, eight in each, so both sides use both cores. The start of
these processes is not included. The row is meant for a machine with two cores: with more cores, the search's own work
would not compete with its trials.
"""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.measure import Measured, PeerMissing
from benchmarks.searches import Search, Taken, load_average, run_search, train_bare

NAME = "search_16"
BOUND = 1.15
IS_AT_MOST = True

CORES = 2


def measure() -> Measured:
    return measured(trials=16, epochs=20)


def measured(trials: int, epochs: int) -> Measured:
    if (os.cpu_count() or 1) < CORES:
        raise PeerMissing(f"needs {CORES} cores, but this machine has one")
    load = load_average()
    with tempfile.TemporaryDirectory() as out:
        search = run_search(Path(out), trials, CORES, epochs, eval_every=5)
        bare = train_bare(search.folders, CORES)
    wall, share = search.ended - search.began, sum(training.whole for training in bare) / CORES
    parts = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in split_overhead(search, bare).items())
    return Measured(wall / share, f"{wall:.0f} s", f"{share:.0f} s", f"{wall - share:.1f} s more: {parts}; {load}")


def split_overhead(search: Search, bare: Sequence[Taken]) -> dict[str, float]:
    """The overhead of a search by source, in seconds. The values sum to its duration minus that of the trainings."""
    first, last = min(search.starts), max(search.ends)
    busy = [end - start for start, end in zip(search.starts, search.ends, strict=True)]
    added = [trial - training.whole for trial, training in zip(busy, bare, strict=True)]
    return {
        "before the first trial": first - search.began,
        "the first trials, with their actors' start": sum(added[:CORES]) / CORES,
        "the other trials": sum(added[CORES:]) / CORES,
        "cores without a trial": last - first - sum(busy) / CORES,
        "after the last trial": search.ended - last,
    }
