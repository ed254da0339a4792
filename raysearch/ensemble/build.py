"""From a study's stored predictions to an ensemble."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from raysearch.ensemble.calibration import calibrate
from raysearch.ensemble.checks import SELECTION_SPLIT, shortened
from raysearch.ensemble.costs import affordable_library
from raysearch.ensemble.estimate import CrossFit, cross_fit
from raysearch.ensemble.external import with_added
from raysearch.ensemble.facts import Facts, read_facts
from raysearch.ensemble.families import assign_slots
from raysearch.ensemble.intervals import CONFIDENCE, bootstrap_gain, share_interval
from raysearch.ensemble.library import Added, Library, load_library
from raysearch.ensemble.members import contributions, disagreement
from raysearch.ensemble.methods import BoundRecipe
from raysearch.ensemble.recipe import Recipe
from raysearch.ensemble.results import BestSingle, CrossFitted, Ensemble, Member, Round, UniformMean, recommend
from raysearch.ensemble.selection import Candidates, Selection, score, weighted_mean
from raysearch.io import display_path
from raysearch.paths import StudyPaths


def build_ensemble(study: StudyPaths, recipe: Recipe, added: Sequence[Path] = ()) -> Ensemble:
    """Select from the study's finished trials and the files ``added``, and estimate the result; nothing is written.

    Raises `StudyError` or `PredictionsError` as `load_library` and `with_added` do, and for caps under which nothing
    fits or families that are not there. Deterministic, by the recipe's seed.
    """
    library = with_added(load_library(study, recipe.views, recipe.resolutions), added)
    facts = {number: read_facts(study.trial(number)) for number in {c.trial_number for c in library.candidates}}
    library, caps = affordable_library(library, recipe, facts)
    candidates = Candidates.of(library.probs, library.labels)
    slots = assign_slots(study, library, recipe.families, facts) if recipe.families else None
    if slots:
        filled = slots.fill(candidates.ranking)
        slots.require(filled, display_path(study.root))
        library = library.noting(*slots.notes(filled))
    bound = BoundRecipe(recipe, caps, slots)
    crossed = cross_fit(
        candidates,
        {
            "ensemble": lambda others: bound.select(others).weights,
            "single": lambda others: bound.weights_of_best(others, 1),
            "uniform": lambda others: bound.weights_of_best(others, recipe.best_n),
        },
        folds=recipe.folds,
        repeats=recipe.repeats,
        rng=np.random.default_rng(recipe.seed),
    )
    return _assemble(bound, library, candidates, crossed, facts)


def _assemble(
    bound: BoundRecipe, library: Library, candidates: Candidates, crossed: CrossFit, facts: Mapping[int, Facts]
) -> Ensemble:
    recipe, labels = bound.recipe, candidates.labels
    selection, mean = bound.select(candidates), bound.mean_of_best(candidates)
    chosen = _in_order(library, selection.weights)
    probs = weighted_mean(candidates, selection.weights)
    scores = {way: outcome.score for way, outcome in crossed.outcomes.items()}
    differences = crossed.outcomes["ensemble"].hits - crossed.outcomes["single"].hits
    gain = bootstrap_gain(differences, crossed.folds, recipe.bootstrap, np.random.default_rng(recipe.seed))
    return Ensemble(
        name=recipe.name,
        recipe=recipe,
        split=SELECTION_SPLIT,
        fingerprint=library.fingerprint,
        classes=library.classes,
        n=len(labels),
        candidates=len(candidates),
        members=_members(library, candidates, crossed, selection, chosen, facts),
        trajectory=_rounds(selection, library.names),
        best_round=selection.best_round,
        in_sample=score(probs, labels),
        cross_fitted=CrossFitted(
            scores["ensemble"].accuracy,
            scores["ensemble"].log_loss,
            crossed.folds,
            recipe.repeats,
            *share_interval(scores["ensemble"].accuracy, len(labels)),
            CONFIDENCE,
        ),
        best_single=BestSingle(library.names[mean.best_single], candidates.singles[mean.best_single], scores["single"]),
        uniform=UniformMean(len(mean.picks), mean.trajectory[-1], scores["uniform"]),
        gain=gain,
        disagreement=disagreement([candidates[member] for member in chosen]),
        calibration=calibrate(crossed.probs(candidates, "ensemble"), labels, crossed.fold_of),
        recommended=recommend(gain, scores["single"], scores["uniform"]),
        notes=(*library.notes, *_notes(recipe, library, crossed, probs)),
    )


def _in_order(library: Library, weights: np.ndarray) -> list[int]:
    """The members, the greatest weight first; then by name."""
    return sorted(map(int, np.flatnonzero(weights)), key=lambda at: (-weights[at], library.names[at]))


def _members(
    library: Library,
    candidates: Candidates,
    crossed: CrossFit,
    selection: Selection,
    chosen: Sequence[int],
    facts: Mapping[int, Facts],
) -> tuple[Member, ...]:
    found = []
    for at, contribution in zip(chosen, contributions(candidates, crossed, "ensemble", chosen), strict=True):
        one, weight = library.all[at], float(selection.weights[at])
        if isinstance(one, Added):
            trial, view, backbone = None, one.name, None
        else:
            trial, view, backbone = one.trial_number, one.view, facts[one.trial_number].backbone
        found.append(Member(trial, view, weight, one.weights_sha256, backbone, contribution))
    return tuple(found)


def _rounds(selection: Selection, names: Sequence[str]) -> tuple[Round, ...]:
    return tuple(
        Round(number, names[pick], after.accuracy, after.log_loss)
        for number, (pick, after) in enumerate(zip(selection.picks, selection.trajectory, strict=True), start=1)
    )


def _notes(recipe: Recipe, library: Library, crossed: CrossFit, probs: np.ndarray) -> Iterator[str]:
    if crossed.folds < recipe.folds:
        yield (
            f"cross-fitted with {crossed.folds} folds, not {recipe.folds}: a class has only "
            f"{np.unique(library.labels, return_counts=True)[1].min()} held-out samples"
        )
    never = np.setdiff1d(library.labels, probs.argmax(axis=1))
    if len(never):
        names = shortened([repr(library.classes[index]) for index in never])
        yield f"the ensemble never predicts {names}: of {'its' if len(never) == 1 else 'their'} samples none is right"
