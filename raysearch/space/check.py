"""Checks a space by substitution: every option and the ends of every range are validated as a trial."""

from collections.abc import Iterator, Mapping
from typing import Any

from raysearch.config import TrialConfig
from raysearch.errors import SpaceError
from raysearch.space.distributions import Choice, Distribution, Leaf, Leaves, Range
from raysearch.space.schema import KeyPath, dotted, flatten
from raysearch.space.search_space import validate_trial


def find_leaf_faults(leaves: Leaves, first: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Every mistake in the values of ``leaves`` and of the ``first`` trials (by their place), each once."""
    faults = [*_clashes(leaves), *_faults_within(leaves, {})]
    for place, entry in first.items():
        fixed = flatten(TrialConfig, entry)
        own = {path: Leaf(value, f"{place}.{dotted(path)}") for path, value in fixed.items()}
        faults += _faults_in({**_examples(leaves), **own})
    return list(dict.fromkeys(faults))


def _faults_within(leaves: Leaves, base: Leaves) -> list[str]:
    """Mistakes of ``base`` with examples of ``leaves``, then with each sample of each leaf in its place."""
    base = {**base, **_examples(leaves)}
    faults = _faults_in(base)
    for path, leaf in leaves.items():
        for sample in leaf.value.samples() if isinstance(leaf.value, Distribution) else ():
            case = {**base, path: Leaf(sample, leaf.place)}
            brought = leaf.value.overrides_for(sample) if isinstance(leaf.value, Choice) else {}
            found = _faults_within(brought, case) if brought else _faults_in(case)
            faults += found
            if isinstance(leaf.value, Range) and any(fault.startswith(f"{leaf.place}: ") for fault in found):
                break  # the other end would only say it again
    return faults


def _faults_in(case: Leaves) -> list[str]:
    try:
        validate_trial(case)
    except SpaceError as error:
        return error.faults
    return []


def _examples(leaves: Leaves) -> dict[KeyPath, Leaf]:
    """One value of each leaf."""
    return {
        path: Leaf(leaf.value.samples()[0] if isinstance(leaf.value, Distribution) else leaf.value, leaf.place)
        for path, leaf in leaves.items()
    }


def _clashes(leaves: Leaves) -> list[str]:
    """Leaves that the options of two choices decide: value and name would depend on the order of draws."""
    faults = []
    decided_by: dict[KeyPath, KeyPath] = {}
    for path, leaf in leaves.items():
        if not (isinstance(leaf.value, Choice) and any(leaf.value.overrides)):
            continue
        brought = {inner for options in leaf.value.overrides for inner in _paths_within(options)}
        if path in brought:
            faults.append(f"{leaf.place}: an option cannot override the choice it belongs to")
        for decided in sorted({path, *brought}):
            if (other := decided_by.setdefault(decided, path)) != path:
                both = f"its options and those of trial.{dotted(other)} both decide trial.{dotted(decided)}"
                faults.append(f"{leaf.place}: {both}; only one choice may")
        faults += [fault for options in leaf.value.overrides for fault in _clashes(options)]
    return faults


def _paths_within(leaves: Leaves) -> Iterator[KeyPath]:
    """The paths of ``leaves``, and those in the overrides of their options, at any depth."""
    for path, leaf in leaves.items():
        yield path
        for options in leaf.value.overrides if isinstance(leaf.value, Choice) else ():
            yield from _paths_within(options)
