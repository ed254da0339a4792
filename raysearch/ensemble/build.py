"""From a study's stored predictions to an ensemble."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from raysearch.ensemble.estimate import Estimate, Select, cross_fit
from raysearch.ensemble.library import SELECTION_SPLIT, Library, load_library
from raysearch.ensemble.recipe import Recipe
from raysearch.ensemble.results import BestSingle, CrossFitted, Ensemble, Member, Round, mean_of_members
from raysearch.ensemble.selection import Selection, greedy, score, uniform
from raysearch.paths import StudyPaths

METHODS: dict[str, Callable[[Recipe], Select]] = {
    "greedy": lambda recipe: partial(greedy, rounds=recipe.rounds),
    "uniform": lambda recipe: partial(uniform, best_n=recipe.best_n),
}


def build_ensemble(study: StudyPaths, recipe: Recipe) -> Ensemble:
    """Select from the study's finished trials and estimate the result; nothing is written.

    Raises `StudyError` or `PredictionsError` as `load_library` does. Deterministic, by the recipe's seed.
    """
    library = load_library(study, recipe.views)
    select = METHODS[recipe.method](recipe)
    estimate = cross_fit(
        library.probs,
        library.labels,
        select,
        folds=recipe.folds,
        repeats=recipe.repeats,
        bootstrap=recipe.bootstrap,
        rng=np.random.default_rng(recipe.seed),
    )
    return _assemble(recipe, library, select(library.probs, library.labels), estimate)


def _assemble(recipe: Recipe, library: Library, selection: Selection, estimate: Estimate) -> Ensemble:
    names, labels = library.names, library.labels
    single = selection.picks[0]
    members = _members(library, selection.weights)
    return Ensemble(
        name=recipe.name,
        recipe=recipe,
        split=SELECTION_SPLIT,
        fingerprint=library.fingerprint,
        classes=library.classes,
        n=len(labels),
        candidates=len(names),
        members=members,
        trajectory=_rounds(selection, names),
        best_round=selection.best_round,
        in_sample=score(mean_of_members(members, library), labels),
        cross_fitted=CrossFitted(
            estimate.ensemble.accuracy, estimate.ensemble.log_loss, estimate.folds, estimate.repeats
        ),
        best_single=BestSingle(names[single], score(library.probs[single], labels), estimate.best_single),
        gain=estimate.gain,
    )


def _members(library: Library, weights: np.ndarray) -> tuple[Member, ...]:
    members = [
        Member(candidate.trial_number, candidate.view, float(weight), candidate.weights_sha256)
        for candidate, weight in zip(library.candidates, weights, strict=True)
        if weight > 0
    ]
    return tuple(sorted(members, key=lambda member: (-member.weight, member.name)))


def _rounds(selection: Selection, names: Sequence[str]) -> tuple[Round, ...]:
    return tuple(
        Round(number, names[pick], after.accuracy, after.log_loss)
        for number, (pick, after) in enumerate(zip(selection.picks, selection.trajectory, strict=True), start=1)
    )
