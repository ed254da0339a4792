"""The selection methods that a recipe can name. A new method is one record in `METHODS`."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from raysearch.ensemble.caps import filter_affordable
from raysearch.ensemble.families import FamilySlots, average_families
from raysearch.ensemble.selection import (
    Candidates,
    Cap,
    Selection,
    refine_weights,
    select_bagged,
    select_greedy,
    select_uniform,
)
from raysearch.ensemble.settings import Settings


@dataclass(frozen=True)
class BoundRecipe:
    """A recipe together with the caps and families of one library."""

    recipe: Settings
    caps: tuple[Cap, ...] = ()
    slots: FamilySlots | None = None
    """Given for methods that use families"""

    def select(self, candidates: Candidates) -> Selection:
        """Select with the recipe's method. Deterministic: the same candidates give the same selection."""
        selection = METHODS[self.recipe.method].select(self, candidates)
        if self.recipe.refine == "none":
            return selection
        return replace(selection, weights=refine_weights(candidates, candidates.labels, selection.weights))

    def average_best(self, candidates: Candidates) -> Selection:
        """The plain mean of the `best_n` candidates, which every ensemble is compared with."""
        return select_uniform(candidates, candidates.labels, self.recipe.best_n, caps=self.caps)

    def weigh_best(self, candidates: Candidates, n: int) -> np.ndarray:
        """float64 [candidates]: equal weights for the ``n`` best that fit under the caps; computes no scores."""
        picks = filter_affordable(self.caps, candidates.ranking, len(candidates))[:n]
        return np.bincount(picks, minlength=len(candidates)) / len(picks)


@dataclass(frozen=True)
class Method:
    """One way to select an ensemble, and what recipes, the terminal and the report need to know of it."""

    select: Callable[[BoundRecipe, Candidates], Selection]
    label: str
    """Describes the members and their weights, on the terminal and on the report's page"""
    is_plain_mean: bool = False
    """All members have the same weight, so a recipe must not refine the weights"""
    uses_families: bool = False
    """The recipe must list `families` and must not set caps, because the families determine the members"""
    trajectory: Literal["rounds", "bags"] = "rounds"
    """What an entry of the trajectory scores: the ensemble after one more pick, or one bag's own ensemble"""


def _greedy(bound: BoundRecipe, candidates: Candidates) -> Selection:
    recipe = bound.recipe
    return select_greedy(
        candidates, candidates.labels, recipe.rounds, sorted_start=recipe.sorted_start, caps=bound.caps
    )


def _bagged(bound: BoundRecipe, candidates: Candidates) -> Selection:
    recipe = bound.recipe
    return select_bagged(
        candidates,
        candidates.labels,
        recipe.rounds,
        bags=recipe.bags,
        share=recipe.bag_share,
        rng=np.random.default_rng(recipe.seed),
        sorted_start=recipe.sorted_start,
        caps=bound.caps,
    )


def _families(bound: BoundRecipe, candidates: Candidates) -> Selection:
    assert bound.slots is not None
    return average_families(candidates, bound.slots)


BASELINE = "uniform"
"""The method that every ensemble is compared with"""
METHODS: dict[str, Method] = {
    "greedy": Method(_greedy, "greedy selection with replacement"),
    "bagged": Method(_bagged, "mean of greedy selections from random subsets of the candidates", trajectory="bags"),
    BASELINE: Method(BoundRecipe.average_best, "plain mean of the best candidates", is_plain_mean=True),
    "families": Method(
        _families, "plain mean of the best trials of each family", is_plain_mean=True, uses_families=True
    ),
}
