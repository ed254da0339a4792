"""Builds an ensemble from a study's stored predictions."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from raysearch.ensemble.calibration import calibrate
from raysearch.ensemble.checks import SELECTION_SPLIT, shorten
from raysearch.ensemble.comparison import BASELINE_MEAN, ENSEMBLE, SINGLE, cross_fit_recipe, measure_gain
from raysearch.ensemble.costs import apply_caps
from raysearch.ensemble.estimate import CrossFit
from raysearch.ensemble.external import add_files
from raysearch.ensemble.facts import Facts, read_facts
from raysearch.ensemble.families import assign_slots
from raysearch.ensemble.intervals import CONFIDENCE, share_interval
from raysearch.ensemble.library import Added, Library, load_library
from raysearch.ensemble.members import measure_contributions, measure_disagreement
from raysearch.ensemble.methods import BoundRecipe
from raysearch.ensemble.recipe import Recipe
from raysearch.ensemble.results import BestSingle, CrossFitted, Ensemble, Member, Round, UniformMean, recommend
from raysearch.ensemble.selection import Candidates, Selection, score, weighted_mean
from raysearch.io import display_path
from raysearch.paths import StudyPaths


def build_ensemble(study: StudyPaths, recipe: Recipe, added: Sequence[Path] = ()) -> Ensemble:
    """Select from the study's finished trials and the files ``added``, and estimate the score; writes nothing.

    Deterministic for the recipe's seed. Raises `StudyError` if no candidate fits under the caps or too few families
    have trials, and `StudyError` or `PredictionsError` as `load_library` and `add_files` do.
    """
    library = add_files(load_library(study, recipe.views, recipe.resolutions), added)
    facts = {number: read_facts(study.trial(number)) for number in {c.trial_number for c in library.candidates}}
    library, caps = apply_caps(library, recipe, facts)
    objective = recipe.objective or library.objective
    recipe = recipe.model_copy(update={"objective": objective})
    candidates = Candidates.from_probs(library.probs, library.labels, objective)
    slots = assign_slots(study, library, recipe.families, facts) if recipe.families else None
    if slots:
        members = slots.fill(candidates.ranking)
        slots.require(members, display_path(study.root))
        library = library.with_notes(*slots.notes(members))
    bound = BoundRecipe(recipe, caps, slots)
    return _assemble(bound, recipe, library, candidates, cross_fit_recipe(bound, candidates), facts)


def _assemble(
    bound: BoundRecipe,
    recipe: Recipe,
    library: Library,
    candidates: Candidates,
    crossed: CrossFit,
    facts: Mapping[int, Facts],
) -> Ensemble:
    labels = candidates.labels
    selection, baseline = bound.select(candidates), bound.average_best(candidates)
    chosen = _sort_members(library, selection.weights)
    probs = weighted_mean(candidates, selection.weights)
    scores = {selector: outcome.score for selector, outcome in crossed.outcomes.items()}
    gain = measure_gain(bound, candidates, crossed, ENSEMBLE, SINGLE)
    uniform = UniformMean(
        len(baseline.picks),
        baseline.trajectory[-1],
        scores[BASELINE_MEAN],
        gain=measure_gain(bound, candidates, crossed, BASELINE_MEAN, SINGLE),
        over_ensemble=measure_gain(bound, candidates, crossed, BASELINE_MEAN, ENSEMBLE),
    )
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
        in_sample=score(probs, labels, candidates.objective),
        cross_fitted=CrossFitted(
            scores[ENSEMBLE].accuracy,
            scores[ENSEMBLE].log_loss,
            crossed.folds,
            recipe.repeats,
            *share_interval(scores[ENSEMBLE].value, candidates.weighting.effective_size),
            CONFIDENCE,
            scores["ensemble"].balanced_accuracy,
        ),
        best_single=BestSingle(
            library.names[baseline.best_single], candidates.singles[baseline.best_single], scores[SINGLE]
        ),
        uniform=uniform,
        gain=gain,
        disagreement=measure_disagreement([candidates[member] for member in chosen]),
        calibration=calibrate(crossed.probs(candidates, ENSEMBLE), labels, crossed.fold_of),
        recommended=recommend(gain, uniform),
        notes=(*library.notes, *_notes(recipe, library, crossed, probs)),
    )


def _sort_members(library: Library, weights: np.ndarray) -> list[int]:
    """Candidates with a weight above 0, by weight, greatest first, then by name."""
    return sorted(map(int, np.flatnonzero(weights)), key=lambda index: (-weights[index], library.names[index]))


def _members(
    library: Library,
    candidates: Candidates,
    crossed: CrossFit,
    selection: Selection,
    chosen: Sequence[int],
    facts: Mapping[int, Facts],
) -> tuple[Member, ...]:
    members = []
    contributions = measure_contributions(candidates, crossed, ENSEMBLE, chosen)
    for index, contribution in zip(chosen, contributions, strict=True):
        candidate, weight = library.all[index], float(selection.weights[index])
        if isinstance(candidate, Added):
            trial, view, backbone = None, candidate.name, None
        else:
            trial, view, backbone = candidate.trial_number, candidate.view, facts[candidate.trial_number].backbone
        members.append(
            Member(trial, view, weight, candidate.weights_sha256, candidates.singles[index], backbone, contribution)
        )
    return tuple(members)


def _rounds(selection: Selection, names: Sequence[str]) -> tuple[Round, ...]:
    return tuple(
        Round(number, names[pick], after.accuracy, after.log_loss, after.balanced_accuracy)
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
        names = shorten([repr(library.classes[index]) for index in never])
        classes = "this class" if len(never) == 1 else "these classes"
        yield f"the ensemble never predicts {names}; it is wrong on every sample of {classes}"
