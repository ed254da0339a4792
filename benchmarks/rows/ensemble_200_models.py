"""Greedy selection, 50 rounds, 200 models x 10,000 samples x 100 classes: at least 40 times the fastest peer's speed.

Peers: AutoGluon's, auto-sklearn's and phem's `EnsembleSelection`; see `ensemble_race`.
"""

from benchmarks.measure import Measured
from benchmarks.rows.ensemble_library import Library
from benchmarks.rows.ensemble_race import race

NAME = "ensemble_200_models"
BOUND = 40.0
IS_AT_MOST = False
LIBRARY = Library(models=200, samples=10_000, classes=100)


def measure() -> Measured:
    return race(LIBRARY).speedup()
