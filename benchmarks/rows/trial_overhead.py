"""Seconds that a search adds to a one-worker trial, in an actor that has trained before: at most 1.

A search runs its trials one by one. Ours is the time from the start of a trial to the start of the next. The peer
trains the same config without Ray, in a process that has trained before. The first trial waits for its actor to start,
and no trial starts after the last, so these two are not counted. The trials are short, to keep variations in the
machine's speed small compared to the bound. Such variations appear in the epochs, which the note lists separately.
"""

import statistics
import tempfile
from pathlib import Path

from benchmarks.measure import Measured
from benchmarks.searches import load_average, run_search, train_bare

NAME = "trial_overhead"
BOUND = 1.0
IS_AT_MOST = True


def measure() -> Measured:
    return measured(trials=10, epochs=2)


def measured(trials: int, epochs: int) -> Measured:
    """The median over ``trials`` without the first and the last."""
    load = load_average()
    with tempfile.TemporaryDirectory() as out:
        search = run_search(Path(out), trials, concurrency=1, epochs=epochs, eval_every=1)
        turns, bare = search.turns[1:], train_bare(search.folders)[1:-1]
    added = [turn.whole - training.whole for turn, training in zip(turns, bare, strict=True)]
    in_epochs = [turn.in_epochs - training.in_epochs for turn, training in zip(turns, bare, strict=True)]
    outside = [whole - part for whole, part in zip(added, in_epochs, strict=True)]
    ours, peer = (f"{statistics.median(side.whole for side in sides):.2f} s" for sides in (turns, bare))
    every = ", ".join(f"{seconds:.2f}" for seconds in added)
    note = f"seconds a trial, no ratio: {every}; in the epochs {statistics.median(in_epochs):.2f}, outside "
    note += f"{statistics.median(outside):.2f}; ours: in the search, peer: the bare loop; {load}"
    return Measured(statistics.median(added), ours, peer, note)
