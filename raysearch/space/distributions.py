"""Distributions, how a space file writes them, and the leaves that hold them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

from raysearch.config import TrialConfig
from raysearch.errors import SpaceError, did_you_mean
from raysearch.space.schema import KeyPath, dotted, flatten


class Trial(Protocol):
    """The part of an Optuna trial that a space uses."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float: ...

    def suggest_int(self, name: str, low: int, high: int) -> int: ...

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any: ...


@dataclass(frozen=True)
class Leaf:
    """A value or a distribution, and its place (file and dotted path) for messages."""

    value: Any
    place: str = field(compare=False)


Leaves: TypeAlias = Mapping[KeyPath, Leaf]
"""Leaves of a trial, or of an option's overrides. A key is the path below `trial`."""


@dataclass(frozen=True)
class Range:
    """Numbers from ``low`` to ``high``, both included."""

    kind: Literal["uniform", "loguniform", "int"]
    low: float
    high: float

    def suggest(self, trial: Trial, name: str) -> float:
        if self.kind == "int":
            return trial.suggest_int(name, int(self.low), int(self.high))
        return trial.suggest_float(name, self.low, self.high, log=self.kind == "loguniform")

    def contains(self, value: Any) -> bool:
        return _is_number(value, whole=self.kind == "int") and self.low <= value <= self.high

    def samples(self) -> tuple[float, ...]:
        """Both ends and a value between them. A range is valid if these are."""
        middle = (self.low + self.high) / 2
        return self.low, self.high, int(middle) if self.kind == "int" else middle


@dataclass(frozen=True)
class Choice:
    """One of ``options``. If ``options[i]`` is drawn, the leaves ``overrides[i]`` apply."""

    options: tuple[Any, ...]
    overrides: tuple[Leaves, ...]

    def suggest(self, trial: Trial, name: str) -> Any:
        return trial.suggest_categorical(name, self.options)

    def contains(self, value: Any) -> bool:
        return any(_is_same(value, option) for option in self.options)

    def samples(self) -> tuple[Any, ...]:
        return self.options

    def overrides_for(self, value: Any) -> Leaves:
        """The overrides of option ``value``. Empty if ``value`` is not an option."""
        pairs = zip(self.options, self.overrides, strict=True)
        return next((leaves for option, leaves in pairs if _is_same(value, option)), {})


Distribution: TypeAlias = Range | Choice
KINDS = ("uniform", "loguniform", "int", "choice")
"""The keys that make a mapping a distribution."""


def parse_leaves(values: Mapping[KeyPath, Any], place: Mapping[KeyPath, str], faults: list[str]) -> Leaves:
    """Make a `Leaf` of each value, and a distribution of each mapping.

    Skips invalid leaves and adds their faults to ``faults``.
    """
    known = set(flatten(TrialConfig, TrialConfig().model_dump()))
    leaves: dict[KeyPath, Leaf] = {}
    for path, value in values.items():
        try:
            # The value of an unknown key is not parsed: validation reports the key.
            is_distribution = isinstance(value, Mapping) and path in known
            leaves[path] = Leaf(_parse(value, place[path], faults) if is_distribution else value, place[path])
        except SpaceError as error:
            faults += error.faults
    return leaves


def _parse(value: Mapping[Any, Any], place: str, faults: list[str]) -> Distribution:
    if len(value) != 1:
        raise SpaceError(f"{place}: a distribution must have one of the keys {', '.join(KINDS)}, got {dict(value)!r}")
    [(kind, given)] = value.items()
    if kind == "choice":
        return _parse_choice(given, place, faults)
    if kind in KINDS:
        return _parse_range(kind, given, place)
    raise SpaceError(f"{place}: unknown distribution {kind!r}{did_you_mean(kind, KINDS)}")


def _parse_range(kind: Literal["uniform", "loguniform", "int"], given: Any, place: str) -> Range:
    low, high = _parse_bounds(given, place, whole=kind == "int")
    if kind == "loguniform" and low <= 0:
        raise SpaceError(f"{place}: 0 < low must hold for loguniform, got {given!r}")
    return Range(kind, low, high) if kind == "int" else Range(kind, float(low), float(high))


def _parse_bounds(given: Any, place: str, whole: bool) -> tuple[Any, Any]:
    is_pair = isinstance(given, list) and len(given) == 2
    if not is_pair or not all(_is_number(bound, whole) for bound in given):
        kind = "whole numbers" if whole else "numbers"
        raise SpaceError(f"{place}: expected two {kind} [low, high], got {given!r}")
    if given[0] > given[1]:
        raise SpaceError(f"{place}: low <= high must hold, got {given!r}")
    return given[0], given[1]


def _parse_choice(given: Any, place: str, faults: list[str]) -> Choice:
    if not isinstance(given, list | Mapping):
        raise SpaceError(f"{place}: expected a list of options or a mapping of options to overrides, got {given!r}")
    options = list(given)
    if not options:
        raise SpaceError(f"{place}: expected at least one option, got {given!r}")
    if any(str(a) == str(b) for i, a in enumerate(options) for b in options[:i]):
        raise SpaceError(f"{place}: options must differ, got {options!r}")
    if isinstance(given, list):
        return Choice(tuple(options), ({},) * len(options))
    overrides = [_parse_overrides(given[option], f"{place}.choice.{option}", faults) for option in options]
    return Choice(tuple(options), tuple(overrides))


def _parse_overrides(given: Any, place: str, faults: list[str]) -> Leaves:
    if given is None:  # an option written as `name:` has no overrides
        return {}
    if not isinstance(given, Mapping):
        faults.append(f"{place}: expected a mapping of overrides, got {given!r}")
        return {}
    values = flatten(TrialConfig, given)
    return parse_leaves(values, {path: f"{place}.{dotted(path)}" for path in values}, faults)


def _is_number(value: Any, whole: bool = False) -> bool:
    kinds = int if whole else int | float
    return isinstance(value, kinds) and not isinstance(value, bool) and math.isfinite(value)


def _is_same(a: Any, b: Any) -> bool:
    return a == b and isinstance(a, bool) == isinstance(b, bool)  # True == 1 in Python
