"""Cross-fits an ensemble together with the simpler alternatives, and compares their accuracies."""

import numpy as np

from raysearch.ensemble.candidates import Candidates
from raysearch.ensemble.estimate import CrossFit, cross_fit
from raysearch.ensemble.intervals import Gain, bootstrap_gain
from raysearch.ensemble.methods import BoundRecipe

ENSEMBLE, SINGLE, BASELINE_MEAN = "ensemble", "single", "baseline"
"""The selectors: the recipe's ensemble, the best single candidate, the plain mean of the best candidates"""


def cross_fit_recipe(bound: BoundRecipe, candidates: Candidates) -> CrossFit:
    """Cross-fit the recipe's ensemble, the best single candidate and the plain mean on the same folds."""
    recipe = bound.recipe
    return cross_fit(
        candidates,
        {
            ENSEMBLE: lambda others: bound.select(others).weights,
            SINGLE: lambda others: bound.weigh_best(others, 1),
            BASELINE_MEAN: lambda others: bound.weigh_best(others, recipe.best_n),
        },
        folds=recipe.folds,
        repeats=recipe.repeats,
        rng=np.random.default_rng(recipe.seed),
    )


def measure_gain(bound: BoundRecipe, candidates: Candidates, crossed: CrossFit, selector: str, over: str) -> Gain:
    """The figure of ``selector`` minus that of the selector ``over``, cross-fitted, with its interval.

    The figure is the objective of the selection: accuracy or balanced accuracy.
    """
    differences = crossed.outcomes[selector].hits - crossed.outcomes[over].hits
    rng = np.random.default_rng(bound.recipe.seed)
    labels = candidates.labels if candidates.objective == "balanced_accuracy" else None
    return bootstrap_gain(differences, crossed.folds, bound.recipe.bootstrap, rng, labels)
