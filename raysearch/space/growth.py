"""Whether a space may follow another one in the same study: whatever was drawn before could still be drawn."""

from collections.abc import Iterator
from typing import Any, TypeAlias

import yaml

from raysearch.space.distributions import Choice, Distribution, Leaf, Leaves, Range
from raysearch.space.load import Space
from raysearch.space.schema import KeyPath, dotted

Sides: TypeAlias = tuple[Leaves, Leaves]
"""Leaves before and after."""

RANGE = "between runs a range may only grow"
CHOICE = "between runs a choice may only gain options"
KIND = "between runs a distribution keeps its kind"
VALUE = "between runs a value may only become a distribution that contains it"
FIRST = "between runs entries may only be added at the end"
OWN = "between runs an option draws from where it did"


def find_growth_faults(before: Space, after: Space) -> list[str]:
    """All that ``after`` changes otherwise than by growing, each with its dotted place, what it was and what it is.

    Only what makes earlier trials comparable with later ones is looked at: trial, objective, folds and first trials.
    The rows and seeds of an ablation may be others: each of its trainings is known by its values.
    """
    if (before.ablation is None) != (after.ablation is None):
        was, now = ("a search", "an ablation") if before.ablation is None else ("an ablation", "a search")
        return [f"the study was {was} and is {now}: between runs neither may become the other"]
    faults = []
    if before.search.objective != after.search.objective:
        changed = _changed("search.objective", before.search.objective, after.search.objective)
        faults.append(f"{changed}: between runs it stays")
    if before.data.folds != after.data.folds:
        faults.append(f"{_changed('data.folds', before.data.folds, after.data.folds)}: between runs it stays")
    if before.ablation is None:
        faults += _faults_of_first(before.search.first, after.search.first)
    return [*faults, *_faults_of_leaves((before.trial.leaves, after.trial.leaves), ({}, {}), "trial")]


def _faults_of_first(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> Iterator[str]:
    for index, (old, new) in enumerate(zip(before, after, strict=False)):
        if old != new:
            yield f"{_changed(f'search.first.{index}', old, new)}: {FIRST}"
    if len(after) < len(before):
        yield f"search.first had {len(before)} entries and has {len(after)}: {FIRST}"


def _faults_of_leaves(own: Sides, outer: Sides, place: str) -> Iterator[str]:
    """Faults in the leaves ``own`` of a trial or of an option; ``outer`` hold where there is none of its own."""
    before, after = ({**general, **special} for general, special in zip(outer, own, strict=True))
    for path in dict.fromkeys([*own[0], *own[1]]):
        old, new, here = before[path].value, after[path].value, f"{place}.{dotted(path)}"
        # A parameter is named after the option that brings it: of another name, it would have no past.
        if isinstance(old, Distribution) and (path in own[0]) != (path in own[1]):
            was, now = (" from outside the option" if path not in side else "" for side in own)
            yield f"{here} was {_written(old)}{was} and is {_written(new)}{now}: {OWN}"
        else:
            yield from _faults_of_leaf(old, new, (before, after), here)


def _faults_of_leaf(old: Any, new: Any, sides: Sides, here: str) -> Iterator[str]:
    rule = None
    if isinstance(old, Range) and isinstance(new, Range) and old.kind == new.kind:
        rule = None if new.low <= old.low and old.high <= new.high else RANGE
    elif isinstance(old, Choice) and isinstance(new, Choice):
        rule = None if all(map(new.contains, old.options)) else CHOICE
    elif isinstance(old, Distribution):
        rule = KIND
    elif isinstance(new, Distribution):
        rule = None if new.contains(old) else VALUE
    elif old != new:
        rule = VALUE
    if rule:
        yield f"{_changed(here, old, new)}: {rule}"
    if isinstance(new, Choice):
        for option in filter(new.contains, old.options if isinstance(old, Choice) else [old]):
            brought = old.overrides_for(option) if isinstance(old, Choice) else dict[KeyPath, Leaf]()
            yield from _faults_of_leaves((brought, new.overrides_for(option)), sides, f"{here}.choice.{option}")


def _changed(place: str, old: Any, new: Any) -> str:
    return f"{place} was {_written(old)} and is {_written(new)}"


def _written(value: Any) -> str:
    """A value or distribution as a space file writes it, on one line; of a choice the options only."""
    if isinstance(value, Range):
        value = {value.kind: [value.low, value.high]}
    elif isinstance(value, Choice):
        value = {"choice": list(value.options)}
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=float("inf"))
    return text.removesuffix("\n").removesuffix("\n...")
