"""Greedy selection, 50 rounds, 1000 models x 5000 samples x 10 classes: at least 40 times the fastest peer's speed.

Peers: AutoGluon's, auto-sklearn's and phem's `EnsembleSelection`; see `ensemble_race`.
"""

from benchmarks.measure import Measured
from benchmarks.rows.ensemble_library import Library
from benchmarks.rows.ensemble_race import race

NAME = "ensemble_1000_models"
BOUND = 40.0
IS_AT_MOST = False
LIBRARY = Library(models=1000, samples=5000, classes=10)


def measure() -> Measured:
    return race(LIBRARY).speedup()
