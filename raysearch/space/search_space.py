"""A trial's configuration in which some leaves are distributions."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from raysearch.config import TrialConfig
from raysearch.errors import SpaceError, did_you_mean
from raysearch.section import describe_fault
from raysearch.space.distributions import Choice, Distribution, Leaf, Leaves, Range, Trial
from raysearch.space.schema import KeyPath, dotted, flatten, leaf_paths, unflatten

Entry: TypeAlias = tuple[KeyPath, str, Leaf]
"""A leaf's path, the name of its Optuna parameter, and the leaf."""
Pick: TypeAlias = Callable[[KeyPath, str, Choice], Sequence[Any]]
"""The options to go on with, of a choice that brings overrides."""


@dataclass(frozen=True)
class SearchSpace:
    """Every leaf of a trial, by path. Made by `load_space`, which has checked it."""

    leaves: Leaves

    def suggest(self, trial: Trial, fixed: Mapping[str, Any] | None = None) -> TrialConfig:
        """A trial drawn by ``trial``, define-by-run: an option's overrides only when it was drawn.

        Leaves in ``fixed`` (nested, plain values: an entry of `search.first`) take the value there. Where
        their distribution contains it, ``trial`` is still asked, so that the study records the parameter.
        """
        wanted = flatten(TrialConfig, fixed or {})
        values: dict[KeyPath, Leaf] = {path: Leaf(value, _place(path)) for path, value in wanted.items()}
        drawn: set[KeyPath] = set()

        def draw(path: KeyPath, name: str, distribution: Distribution) -> list[Any]:
            value = wanted.get(path)
            if path not in wanted or distribution.contains(value):
                suggested = distribution.suggest(trial, name)
                value = wanted.get(path, suggested)
            drawn.add(path)
            values[path] = Leaf(value, _place(path))
            return [value]

        for path, name, leaf in active(self.leaves, draw):
            if path in drawn:
                continue
            if isinstance(leaf.value, Distribution):
                draw(path, name, leaf.value)
            else:
                values.setdefault(path, leaf)
        return validate_trial(values)

    def to_params(self, fixed: Mapping[str, Any]) -> dict[str, Any]:
        """The Optuna parameters to enqueue for ``fixed``; values outside their distribution have none."""
        wanted = flatten(TrialConfig, fixed)

        def pick(path: KeyPath, name: str, choice: Choice) -> Sequence[Any]:
            return [wanted[path]] if path in wanted else choice.options

        return {
            name: float(wanted[path]) if _is_real(leaf.value) else wanted[path]
            for path, name, leaf in active(self.leaves, pick)
            if path in wanted and isinstance(leaf.value, Distribution) and leaf.value.contains(wanted[path])
        }

    def parameters(self) -> list[tuple[str, Distribution]]:
        """Name and distribution of every parameter that a trial may have."""
        entries = active(self.leaves, _every_option)
        return [(name, leaf.value) for _, name, leaf in entries if isinstance(leaf.value, Distribution)]

    def values(self, path: str) -> tuple[Any, ...]:
        """Every value that the leaf at ``path`` (`augment.policy`) may take; of a range its two ends."""
        keys = tuple(path.split("."))
        assert keys in leaf_paths(TrialConfig), f"{path}{did_you_mean(path, map(dotted, leaf_paths(TrialConfig)))}"
        values: list[Any] = []
        for found, _, leaf in active(self.leaves, _every_option):
            if found == keys:
                values += _values_of(leaf.value)
        return tuple(dict.fromkeys(values))


def active(leaves: Leaves, pick: Pick) -> list[Entry]:
    """The leaves that hold once ``pick`` has chosen among the options that bring overrides."""
    return _active(leaves, pick, "")[0]


def _active(leaves: Leaves, pick: Pick, suffix: str) -> tuple[list[Entry], set[KeyPath]]:
    entries: list[Entry] = []
    overridden: set[KeyPath] = set()
    for path, leaf in leaves.items():
        if not (isinstance(leaf.value, Choice) and any(leaf.value.overrides)):
            continue
        always: list[set[KeyPath]] = []
        for option in pick(path, f"{dotted(path)}{suffix}", leaf.value):
            found, surely = _active(leaf.value.overrides_for(option), pick, f"{suffix}[{option}]")
            entries += found
            always.append(surely)
        overridden |= set.intersection(*always) if always else set()
    own = [(path, f"{dotted(path)}{suffix}", leaf) for path, leaf in leaves.items() if path not in overridden]
    return own + entries, overridden | set(leaves)


def validate_trial(values: Leaves) -> TrialConfig:
    """The validated trial of leaves without distributions; all mistakes at once, each with its place."""
    try:
        return TrialConfig.model_validate(unflatten({path: leaf.value for path, leaf in values.items()}))
    except ValidationError as error:
        faults = [(_leaf_at(values, item), item) for item in error.errors()]
        raise SpaceError(f"{leaf.place}: {describe_fault(TrialConfig, item)}" for leaf, item in faults) from error


def _leaf_at(values: Leaves, item: ErrorDetails) -> Leaf:
    path = tuple(str(key) for key in item["loc"])
    # What is wrong with several values together begins with the path of one of them.
    named = item["msg"].removeprefix("Value error, ").split()[0].removesuffix(":").split(".")
    for keys in (path, (*path, *named)):
        prefixes = (keys[:n] for n in range(len(keys), 0, -1))
        if found := next((values[prefix] for prefix in prefixes if prefix in values), None):
            return found
    return Leaf(None, _place(path))


def _place(path: KeyPath) -> str:
    return dotted(("trial", *path))


def _every_option(path: KeyPath, name: str, choice: Choice) -> Sequence[Any]:
    return choice.options


def _values_of(value: Any) -> Sequence[Any]:
    if isinstance(value, Choice):
        return value.options
    return (value.low, value.high) if isinstance(value, Range) else (value,)


def _is_real(value: Any) -> bool:
    return isinstance(value, Range) and value.kind != "int"
