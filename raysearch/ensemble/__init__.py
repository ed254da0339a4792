"""Ensembles of a study's trials, from stored predictions only: neither torch nor ray is loaded."""

from raysearch.ensemble.build import build_ensemble
from raysearch.ensemble.library import Library, is_dropped, load_library
from raysearch.ensemble.recipe import Recipe, read_recipe
from raysearch.ensemble.results import Ensemble, Member, ensemble_probs, read_ensemble, write_ensemble
from raysearch.ensemble.selection import Score, Selection, greedy

__all__ = [
    "Ensemble",
    "Library",
    "Member",
    "Recipe",
    "Score",
    "Selection",
    "build_ensemble",
    "ensemble_probs",
    "greedy",
    "is_dropped",
    "load_library",
    "read_ensemble",
    "read_recipe",
    "write_ensemble",
]
