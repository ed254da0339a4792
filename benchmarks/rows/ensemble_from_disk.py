"""Greedy selection, 50 rounds, 16 models x 50,000 samples x 1000 classes in float16, memory-mapped: within 4 GB.

The figure is the peak memory of our process in GB, including shared libraries and mapped pages. There is no peer.
"""

import tempfile
from pathlib import Path

from benchmarks.measure import Measured, milliseconds
from benchmarks.rows.ensemble_library import Library
from benchmarks.rows.ensemble_race import ROUNDS, our_side

NAME = "ensemble_from_disk"
BOUND = 4.0
IS_AT_MOST = True
LIBRARY = Library(models=16, samples=50_000, classes=1000, dtype="float16")


def measure() -> Measured:
    with tempfile.TemporaryDirectory() as name:
        LIBRARY.write(Path(name))
        side = our_side(Path(name), ROUNDS, mapped=True)
    peak = side.peak_bytes / 1e9
    note = f"GB, no ratio; {milliseconds([side.seconds])}, accuracy {side.accuracy:.2%}"
    return Measured(peak, f"{peak:.2f} GB", "none", note)
