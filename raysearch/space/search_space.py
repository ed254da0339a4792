"""The search space: the configuration of a trial, in which some leaves are distributions."""

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
"""Given a choice with overrides, returns the options to follow."""


@dataclass(frozen=True)
class SearchSpace:
    """Every leaf of a trial, by path. `load_space` makes and checks it."""

    leaves: Leaves

    def suggest(self, trial: Trial, fixed: Mapping[str, Any] | None = None) -> TrialConfig:
        """Draw a config from ``trial``, define-by-run: an option's overrides are drawn only if the option was.

        Leaves in ``fixed`` (nested plain values, as an entry of `search.first`) take the value given there. If their
        distribution contains it, the parameter is still suggested, so that the study records it.
        """
        fixed_leaves = flatten(TrialConfig, fixed or {})
        values: dict[KeyPath, Leaf] = {path: Leaf(value, _place(path)) for path, value in fixed_leaves.items()}
        drawn: set[KeyPath] = set()

        def draw(path: KeyPath, name: str, distribution: Distribution) -> list[Any]:
            value = fixed_leaves.get(path)
            if path not in fixed_leaves or distribution.contains(value):
                suggested = distribution.suggest(trial, name)
                value = fixed_leaves.get(path, suggested)
            drawn.add(path)
            values[path] = Leaf(value, _place(path))
            return [value]

        for path, name, leaf in list_active(self.leaves, draw):
            if path in drawn:
                continue
            if isinstance(leaf.value, Distribution):
                draw(path, name, leaf.value)
            else:
                values.setdefault(path, leaf)
        return validate_trial(values)

    def to_params(self, fixed: Mapping[str, Any]) -> dict[str, Any]:
        """The Optuna parameters to enqueue for ``fixed``. Values outside their distribution are left out."""
        fixed_leaves = flatten(TrialConfig, fixed)

        def pick(path: KeyPath, name: str, choice: Choice) -> Sequence[Any]:
            return [fixed_leaves[path]] if path in fixed_leaves else choice.options

        return {
            name: float(fixed_leaves[path]) if _is_real(leaf.value) else fixed_leaves[path]
            for path, name, leaf in list_active(self.leaves, pick)
            if path in fixed_leaves and isinstance(leaf.value, Distribution) and leaf.value.contains(fixed_leaves[path])
        }

    def parameters(self) -> list[tuple[str, Distribution]]:
        """The name and distribution of every parameter that a trial may have."""
        entries = list_active(self.leaves, _every_option)
        return [(name, leaf.value) for _, name, leaf in entries if isinstance(leaf.value, Distribution)]

    def values(self, path: str) -> tuple[Any, ...]:
        """Every value that the leaf at ``path`` (such as `augment.policy`) may have. A range gives its two ends."""
        keys = tuple(path.split("."))
        assert keys in leaf_paths(TrialConfig), f"{path}{did_you_mean(path, map(dotted, leaf_paths(TrialConfig)))}"
        values: list[Any] = []
        for leaf_keys, _, leaf in list_active(self.leaves, _every_option):
            if leaf_keys == keys:
                values += _list_values(leaf.value)
        return tuple(dict.fromkeys(values))


def list_active(leaves: Leaves, pick: Pick) -> list[Entry]:
    """The leaves that apply with the options that ``pick`` returns.

    An override's parameter has the option in its name, as in ``optimizer.lr[wrn_10_1]``.
    """
    return _list_active(leaves, pick, "")[0]


def _list_active(leaves: Leaves, pick: Pick, suffix: str) -> tuple[list[Entry], set[KeyPath]]:
    """The entries, and the paths that have one whichever options were picked."""
    entries: list[Entry] = []
    overridden: set[KeyPath] = set()
    for path, leaf in leaves.items():
        if not (isinstance(leaf.value, Choice) and any(leaf.value.overrides)):
            continue
        always: list[set[KeyPath]] = []
        for option in pick(path, f"{dotted(path)}{suffix}", leaf.value):
            inner, inner_paths = _list_active(leaf.value.overrides_for(option), pick, f"{suffix}[{option}]")
            entries += inner
            always.append(inner_paths)
        overridden |= set.intersection(*always) if always else set()
    own = [(path, f"{dotted(path)}{suffix}", leaf) for path, leaf in leaves.items() if path not in overridden]
    return own + entries, overridden | set(leaves)


def validate_trial(values: Leaves) -> TrialConfig:
    """Validate a trial of leaves without distributions. Raises one `SpaceError` with all faults and their places."""
    try:
        return TrialConfig.model_validate(unflatten({path: leaf.value for path, leaf in values.items()}))
    except ValidationError as error:
        faults = [(_find_leaf(values, item), item) for item in error.errors()]
        raise SpaceError(f"{leaf.place}: {describe_fault(TrialConfig, item)}" for leaf, item in faults) from error


def _find_leaf(values: Leaves, item: ErrorDetails) -> Leaf:
    """The leaf that a validation error is about, or the nearest one above it."""
    path = tuple(str(key) for key in item["loc"])
    # The message of a check on several values begins with the path of one of them.
    named = item["msg"].removeprefix("Value error, ").split()[0].removesuffix(":").split(".")
    for keys in (path, (*path, *named)):
        prefixes = (keys[:n] for n in range(len(keys), 0, -1))
        if leaf := next((values[prefix] for prefix in prefixes if prefix in values), None):
            return leaf
    return Leaf(None, _place(path))


def _place(path: KeyPath) -> str:
    return dotted(("trial", *path))


def _every_option(path: KeyPath, name: str, choice: Choice) -> Sequence[Any]:
    return choice.options


def _list_values(value: Any) -> Sequence[Any]:
    if isinstance(value, Choice):
        return value.options
    return (value.low, value.high) if isinstance(value, Range) else (value,)


def _is_real(value: Any) -> bool:
    return isinstance(value, Range) and value.kind != "int"
