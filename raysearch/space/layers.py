"""The layers that a space file is merged from: defaults, the files it extends, itself, `--set`."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from raysearch.config import TrialConfig
from raysearch.errors import UserError, did_you_mean
from raysearch.io import display_path, parse_yaml, read_yaml
from raysearch.shipped import find_file
from raysearch.space.schema import KeyPath, SpaceFile, dotted, flatten, leaf_paths, unflatten

SET = "--set"


@dataclass(frozen=True)
class Layer:
    """Values by path, and the file (or `--set`) they stand in."""

    where: str
    values: dict[KeyPath, Any]


def read_layers(path: Path, faults: list[str]) -> list[Layer]:
    """The file at ``path`` and those it extends, the most basic first. Mistakes are added to ``faults``."""
    layers: list[Layer] = []
    chain: list[Path] = []
    while True:
        where = display_path(path)
        try:
            values = read_yaml(Path(where))
        except UserError as error:
            faults += error.faults
            break
        if not isinstance(values, Mapping):
            faults.append(f"{where}: a mapping of sections must stand here, got {values!r}")
            break
        layers.insert(0, layer := Layer(where, flatten(SpaceFile, values)))
        chain.append(path.resolve())
        extends = layer.values.pop(("extends",), None)
        if extends is None:
            break
        if not isinstance(extends, str):
            faults.append(f"{where}: extends: a path must stand here, got {extends!r}")
            break
        try:
            path = _extended(path.parent / extends, extends, where)
        except UserError as error:
            faults += error.faults
            break
        if path.resolve() in chain:
            circle = " -> ".join(display_path(p) for p in [*chain, path])
            faults.append(f"{where}: extends: goes in a circle: {circle}")
            break
    return layers


def _extended(beside: Path, name: str, where: str) -> Path:
    """The file beside the one that extends it, else a shipped space of this name."""
    return beside if beside.is_file() else find_file("spaces", name, f"{where}: extends: ")


def read_set(overrides: Sequence[str], section: type[BaseModel], faults: list[str]) -> Layer:
    """The ``path=value`` texts of `--set` as one layer; a later one wins over an earlier one."""
    values: dict[KeyPath, Any] = {}
    for text in overrides:
        name, equals, value = text.partition("=")
        path = tuple(name.strip().split("."))
        if not equals:
            faults.append(f"{SET}: path=value must hold, got {text!r}")
        elif unknown := _unknown(path, section):
            faults.append(f"{SET}: {unknown}")
        else:
            try:
                values |= flatten(section, unflatten({path: parse_yaml(value)}))
            except yaml.YAMLError as error:
                faults.append(f"{SET}: {name}: not valid YAML: {' '.join(str(error).split())}")
    return Layer(SET, values)


def _unknown(path: KeyPath, section: type[BaseModel]) -> str | None:
    """What is wrong with a path that is neither a leaf of ``section`` nor one of its sections."""
    leaves = [leaf for leaf in leaf_paths(section) if leaf != ("extends",)]
    if any(leaf[: len(path)] == path for leaf in leaves):
        return None
    known = [dotted(leaf) for leaf in leaves]
    if not get_close_matches(dotted(path), known, n=1):
        known = list(dict.fromkeys(leaf[0] for leaf in leaves))
    return f"{dotted(path)}: unknown key{did_you_mean(dotted(path), known)}"


def merge_layers(layers: Iterable[Layer]) -> tuple[dict[KeyPath, Any], dict[KeyPath, str]]:
    """The last layer's value of each leaf, and where it stands."""
    values: dict[KeyPath, Any] = {}
    where: dict[KeyPath, str] = {}
    for layer in layers:
        values |= layer.values
        where |= dict.fromkeys(layer.values, layer.where)
    return values, where


def drop_overridden(paths: set[KeyPath], values: dict[KeyPath, Any]) -> dict[KeyPath, Any]:
    """``values`` without other values for the leaves ``paths`` of `trial`, in `search.first` and in options."""
    below = {path[1:] for path in paths if path[0] == "trial"}
    kept = {path: _without_in_options(below, value) if path[0] == "trial" else value for path, value in values.items()}
    first = kept.get(("search", "first"))
    if isinstance(first, list):
        kept["search", "first"] = [_without(below, entry) for entry in first]
    return kept


def _without(paths: set[KeyPath], tree: Any) -> Any:
    """A nested part of a trial without the leaves ``paths``; what is no mapping stays as it is."""
    if not isinstance(tree, Mapping):
        return tree
    leaves = flatten(TrialConfig, tree)
    return unflatten({p: _without_in_options(paths, v) for p, v in leaves.items() if p not in paths})


def _without_in_options(paths: set[KeyPath], value: Any) -> Any:
    if not (isinstance(value, Mapping) and list(value) == ["choice"] and isinstance(value["choice"], Mapping)):
        return value
    return {"choice": {option: _without(paths, brought) for option, brought in value["choice"].items()}}
