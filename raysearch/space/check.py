"""Checks a space by substitution: validates a trial with each option of every choice, and with the ends of every
range."""

from collections.abc import Iterator, Mapping
from typing import Any

from raysearch.config import TrialConfig
from raysearch.errors import SpaceError
from raysearch.space.distributions import Choice, Distribution, Leaf, Leaves, Range
from raysearch.space.schema import KeyPath, dotted, flatten
from raysearch.space.search_space import validate_trial


def find_leaf_faults(leaves: Leaves, first: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Find the faults of ``leaves`` and of the ``first`` trials (keyed by place), without duplicates."""
    faults = [*_find_clashes(leaves), *_check_samples(leaves, {})]
    for place, entry in first.items():
        fixed = flatten(TrialConfig, entry)
        own = {path: Leaf(value, f"{place}.{dotted(path)}") for path, value in fixed.items()}
        faults += _check_case({**_examples(leaves), **own})
    return list(dict.fromkeys(faults))


def _check_samples(leaves: Leaves, base: Leaves) -> list[str]:
    """Faults of ``base`` with one value for each of ``leaves``, then with each sample of each leaf.

    An option is checked together with the overrides that it brings, recursively.
    """
    base = {**base, **_examples(leaves)}
    faults = _check_case(base)
    for path, leaf in leaves.items():
        for sample in leaf.value.samples() if isinstance(leaf.value, Distribution) else ():
            case = {**base, path: Leaf(sample, leaf.place)}
            overrides = leaf.value.overrides_for(sample) if isinstance(leaf.value, Choice) else {}
            case_faults = _check_samples(overrides, case) if overrides else _check_case(case)
            faults += case_faults
            if isinstance(leaf.value, Range) and any(fault.startswith(f"{leaf.place}: ") for fault in case_faults):
                break  # the other end of the range would repeat the fault
    return faults


def _check_case(case: Leaves) -> list[str]:
    try:
        validate_trial(case)
    except SpaceError as error:
        return error.faults
    return []


def _examples(leaves: Leaves) -> dict[KeyPath, Leaf]:
    """One value for each leaf."""
    return {
        path: Leaf(leaf.value.samples()[0] if isinstance(leaf.value, Distribution) else leaf.value, leaf.place)
        for path, leaf in leaves.items()
    }


def _find_clashes(leaves: Leaves) -> list[str]:
    """Find leaves that the options of two choices override: value and name would depend on the order of draws."""
    faults = []
    decided_by: dict[KeyPath, KeyPath] = {}
    for path, leaf in leaves.items():
        if not (isinstance(leaf.value, Choice) and any(leaf.value.overrides)):
            continue
        overridden = {inner for options in leaf.value.overrides for inner in _paths_within(options)}
        if path in overridden:
            faults.append(f"{leaf.place}: an option cannot override the choice it belongs to")
        for decided in sorted({path, *overridden}):
            if (other := decided_by.setdefault(decided, path)) != path:
                both = f"its options and those of trial.{dotted(other)} both set trial.{dotted(decided)}"
                faults.append(f"{leaf.place}: {both}; only one choice may")
        faults += [fault for options in leaf.value.overrides for fault in _find_clashes(options)]
    return faults


def _paths_within(leaves: Leaves) -> Iterator[KeyPath]:
    """The paths of ``leaves`` and of the overrides of their options, at any depth."""
    for path, leaf in leaves.items():
        yield path
        for options in leaf.value.overrides if isinstance(leaf.value, Choice) else ():
            yield from _paths_within(options)
