"""The methods that a recipe may name."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from raysearch.ensemble.caps import affordable
from raysearch.ensemble.families import FamilySlots, mean_of_families
from raysearch.ensemble.recipe import Method, Recipe
from raysearch.ensemble.selection import Candidates, Cap, Selection, bagged, greedy, refined, uniform


@dataclass(frozen=True)
class BoundRecipe:
    """A recipe, with what it means for one library."""

    recipe: Recipe
    caps: tuple[Cap, ...] = ()
    slots: FamilySlots | None = None
    """For `method: families`"""

    def select(self, candidates: Candidates) -> Selection:
        """By the recipe's method; the same candidates give the same selection."""
        selection = METHODS[self.recipe.method](self, candidates)
        if self.recipe.refine == "none":
            return selection
        return replace(selection, weights=refined(candidates, candidates.labels, selection.weights))

    def mean_of_best(self, candidates: Candidates) -> Selection:
        """The plain mean that an ensemble is compared with."""
        return uniform(candidates, candidates.labels, self.recipe.best_n, caps=self.caps)

    def weights_of_best(self, candidates: Candidates, n: int) -> np.ndarray:
        """float64 [candidates]: all the same for the ``n`` best that fit under the caps; without any figures."""
        picks = affordable(self.caps, candidates.ranking, len(candidates))[:n]
        return np.bincount(picks, minlength=len(candidates)) / len(picks)


def _greedy(bound: BoundRecipe, candidates: Candidates) -> Selection:
    recipe = bound.recipe
    return greedy(candidates, candidates.labels, recipe.rounds, sorted_start=recipe.sorted_start, caps=bound.caps)


def _bagged(bound: BoundRecipe, candidates: Candidates) -> Selection:
    recipe = bound.recipe
    return bagged(
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
    return mean_of_families(candidates, bound.slots)


METHODS: dict[Method, Callable[[BoundRecipe, Candidates], Selection]] = {
    "greedy": _greedy,
    "bagged": _bagged,
    "uniform": BoundRecipe.mean_of_best,
    "families": _families,
}
