"""Seconds that a search adds to a one-worker trial, in an actor that has trained before: at most 1.

A search trains one trial after the other, and what counts is the time from a trial's start to the next one's. The
peer is the training of the same trial's config without Ray, in a process that has trained before. The first trial,
which waits for its actor to start, and the last one, after which none starts, do not count. The trials are short, so
that the machine's wandering speed is small beside the bound.
"""

import statistics
import tempfile
from pathlib import Path

from benchmarks.measure import Measured
from benchmarks.searches import bare_seconds, load_average, run_search

NAME = "trial_overhead"
BOUND = 1.0
IS_AT_MOST = True


def measure() -> Measured:
    return measured(trials=8, epochs=4)


def measured(trials: int, epochs: int) -> Measured:
    """The median of all but the first and the last of ``trials``."""
    load = load_average()
    with tempfile.TemporaryDirectory() as out:
        search = run_search(Path(out), trials, concurrency=1, epochs=epochs, eval_every=1)
        bare = bare_seconds(search.folders)[1:-1]
    periods = search.periods[1:]
    added = [period - training for period, training in zip(periods, bare, strict=True)]
    every = ", ".join(f"{seconds:.2f}" for seconds in added)
    note = f"seconds a trial, no ratio; ours: in the search, peer: the bare loop; of each trial {every}; {load}"
    return Measured(
        statistics.median(added), f"{statistics.median(periods):.2f} s", f"{statistics.median(bare):.2f} s", note
    )
