"""Turns a recipe's caps into costs: which candidates share networks or forward passes, and what each costs."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from raysearch.ensemble.caps import Cap
from raysearch.ensemble.checks import shorten
from raysearch.ensemble.facts import Facts, name_forward_pass
from raysearch.ensemble.library import Library
from raysearch.ensemble.settings import Settings
from raysearch.errors import StudyError
from raysearch.paths import view_parts
from raysearch.predictions import Predictions

Cost = tuple[Hashable, float | None]
"""The key shared by candidates that pay the cost once, and the cost; None if it is unknown."""


def apply_caps(library: Library, recipe: Settings, facts: Mapping[int, Facts]) -> tuple[Library, tuple[Cap, ...]]:
    """Leave out candidates whose capped costs are unknown, and build the caps; ``facts`` by trial number.

    Adds a note on the left-out candidates. Raises `StudyError` if none is left.
    """
    caps = []
    for key, cost_of in COSTS.items():
        if getattr(recipe, key) is not None:
            library = _drop_unknown(library, key, [cost_of(one, facts) for one in library.candidates])
    for key, cost_of in COSTS.items():
        if (limit := getattr(recipe, key)) is not None:
            caps.append(_cap(key, limit, [cost_of(one, facts) for one in library.candidates]))
    if recipe.max_members is not None:
        n = len(library.all)
        caps.append(Cap(np.arange(n), np.ones(n), recipe.max_members, "max_members"))
    return library, tuple(caps)


def _parameters(candidate: Predictions, facts: Mapping[int, Facts]) -> Cost:
    role = view_parts(candidate.view).role
    return (candidate.trial_number, role), facts[candidate.trial_number].num_parameters


def _latency_ms(candidate: Predictions, facts: Mapping[int, Facts]) -> Cost:
    role, run = view_parts(candidate.view).role, name_forward_pass(candidate.view)
    return (candidate.trial_number, role, run), facts[candidate.trial_number].latency_ms.get(run)


COSTS = {"max_parameters": _parameters, "max_latency_ms": _latency_ms}
"""Recipe key -> function that returns a candidate's cost"""


def _drop_unknown(library: Library, key: str, costs: Sequence[Cost]) -> Library:
    unknown = [name for name, (_, cost) in zip(library.names, costs, strict=False) if cost is None]
    unknown += [added.name for added in library.added]
    if not unknown:
        return library
    kept = tuple(one for one, (_, cost) in zip(library.candidates, costs, strict=True) if cost is not None)
    what = "num_parameters" if key == "max_parameters" else "latency_ms"
    if not kept:
        raise StudyError(f"{key}: needs {what}, but no trial's result.json has it; leave {key} out")
    return replace(library, candidates=kept, added=()).with_notes(
        f"{key}: {shorten(unknown)} {'has' if len(unknown) == 1 else 'have'} no {what} and "
        f"{'is' if len(unknown) == 1 else 'are'} left out"
    )


def _cap(name: str, limit: float, costs: Sequence[Cost]) -> Cap:
    cost_of = {group: cost for group, cost in costs if cost is not None}
    position = {group: index for index, group in enumerate(cost_of)}
    return Cap(np.array([position[group] for group, _ in costs]), np.array(list(cost_of.values())), limit, name)
