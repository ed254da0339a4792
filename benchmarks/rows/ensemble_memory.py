"""Memory of greedy selection in addition to the loaded library: at most 100 MB more than the most frugal peer's.

The figure is the worst of the three libraries of the previous rows, from the same runs. If only this row runs, it runs
them first. It is a difference in MB, not a ratio.
"""

from benchmarks.measure import Measured
from benchmarks.rows import ensemble_16_models, ensemble_200_models, ensemble_1000_models
from benchmarks.rows.ensemble_race import race

NAME = "ensemble_memory"
BOUND = 100.0
IS_AT_MOST = True
LIBRARIES = [module.LIBRARY for module in (ensemble_16_models, ensemble_200_models, ensemble_1000_models)]


def measure() -> Measured:
    sides = [race(library).extra_bytes() for library in LIBRARIES]
    ours, peers = max(sides, key=lambda side: side[0] - side[1])
    each = ", ".join(f"{our / 1e6:.0f} against {its / 1e6:.0f}" for our, its in sides)
    note = f"MB more than the most frugal peer, not a ratio; by library, in MB: {each}"
    return Measured((ours - peers) / 1e6, f"{ours / 1e6:.0f} MB", f"{peers / 1e6:.0f} MB", note)
