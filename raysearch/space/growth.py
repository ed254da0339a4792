"""Checks that a changed space can continue a study: every earlier draw must still be possible."""

from collections.abc import Iterator
from typing import Any, TypeAlias

import yaml

from raysearch.space.distributions import Choice, Distribution, Leaf, Leaves, Range
from raysearch.space.load import Space
from raysearch.space.schema import KeyPath, dotted

Sides: TypeAlias = tuple[Leaves, Leaves]
"""Leaves before and after the change."""

SAME = "between runs this must not change"
RANGE = "between runs a range may only grow"
CHOICE = "between runs a choice may only gain options"
KIND = "between runs a distribution must keep its kind"
VALUE = "between runs a value may only become a distribution that contains it"
FIRST = "between runs entries may only be added at the end"
OWN = "between runs a distribution must not move into or out of an option"


def find_growth_faults(before: Space, after: Space) -> list[str]:
    """Find all changes from ``before`` to ``after`` that are not growth. Each fault states place, old and new value.

    Checks only what makes trials comparable: trial, objective, folds and first trials. The rows and seeds of an
    ablation may change, because a training is identified by its values.
    """
    if (before.ablation is None) != (after.ablation is None):
        was, now = ("a search", "an ablation") if before.ablation is None else ("an ablation", "a search")
        return [f"the study was {was} and is {now}: between runs this must not change"]
    faults = []
    if before.search.objective != after.search.objective:
        change = _describe_change("search.objective", before.search.objective, after.search.objective)
        faults.append(f"{change}: {SAME}")
    for name in ("folds", "folds_trained"):
        old, new = getattr(before.data, name), getattr(after.data, name)
        if old != new:
            faults.append(f"{_describe_change(f'data.{name}', old, new)}: {SAME}")
    if before.ablation is None:
        faults += _check_first(before.search.first, after.search.first)
    return [*faults, *_check_leaves((before.trial.leaves, after.trial.leaves), ({}, {}), "trial")]


def _check_first(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> Iterator[str]:
    for index, (old, new) in enumerate(zip(before, after, strict=False)):
        if old != new:
            yield f"{_describe_change(f'search.first.{index}', old, new)}: {FIRST}"
    if len(after) < len(before):
        yield f"search.first had {len(before)} entries and has {len(after)}: {FIRST}"


def _check_leaves(own: Sides, outer: Sides, place: str) -> Iterator[str]:
    """Faults in the leaves ``own`` of a trial or an option. Leaves that it lacks come from ``outer``."""
    before, after = ({**general, **special} for general, special in zip(outer, own, strict=True))
    for path in dict.fromkeys([*own[0], *own[1]]):
        old, new, here = before[path].value, after[path].value, f"{place}.{dotted(path)}"
        # A parameter's name includes the option that overrides it. Under another name its earlier draws would be lost.
        if isinstance(old, Distribution) and (path in own[0]) != (path in own[1]):
            was, now = (" outside the option" if path not in side else "" for side in own)
            yield f"{here} was {_format(old)}{was} and is {_format(new)}{now}: {OWN}"
        else:
            yield from _check_leaf(old, new, (before, after), here)


def _check_leaf(old: Any, new: Any, sides: Sides, here: str) -> Iterator[str]:
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
        yield f"{_describe_change(here, old, new)}: {rule}"
    if isinstance(new, Choice):
        for option in filter(new.contains, old.options if isinstance(old, Choice) else [old]):
            overrides = old.overrides_for(option) if isinstance(old, Choice) else dict[KeyPath, Leaf]()
            yield from _check_leaves((overrides, new.overrides_for(option)), sides, f"{here}.choice.{option}")


def _describe_change(place: str, old: Any, new: Any) -> str:
    return f"{place} was {_format(old)} and is {_format(new)}"


def _format(value: Any) -> str:
    """A value or distribution on one line, as a space file writes it. Overrides of options are left out."""
    if isinstance(value, Range):
        value = {value.kind: [value.low, value.high]}
    elif isinstance(value, Choice):
        value = {"choice": list(value.options)}
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=float("inf"))
    return text.removesuffix("\n").removesuffix("\n...")
