"""The layers of a space: the files that it extends, the file itself, and `--set`. Later layers win."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from raysearch.config import TrialConfig
from raysearch.errors import UserError, did_you_mean
from raysearch.io import display_path, explain_yaml_error, parse_yaml, read_yaml
from raysearch.shipped import find_file
from raysearch.space.schema import KeyPath, SpaceFile, dotted, flatten, leaf_paths, unflatten

SET = "--set"


@dataclass(frozen=True)
class Layer:
    """Values by path, and the file (or `--set`) that sets them."""

    where: str
    values: dict[KeyPath, Any]


def read_layers(path: Path, faults: list[str]) -> list[Layer]:
    """Read the file at ``path`` and those that it extends, the most basic first. Adds faults to ``faults``."""
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
            got = "an empty file" if values is None else repr(values)
            faults.append(f"{where}: expected a mapping of sections, got {got}")
            break
        layers.insert(0, layer := Layer(where, flatten(SpaceFile, values)))
        chain.append(path.resolve())
        extends = layer.values.pop(("extends",), None)
        if extends is None:
            break
        if not isinstance(extends, str):
            faults.append(f"{where}: extends: expected a path, got {extends!r}")
            break
        try:
            path = find_file("spaces", extends, f"{where}: extends: ", folder=path.parent)
        except UserError as error:
            faults += error.faults
            break
        if path.resolve() in chain:
            cycle = " -> ".join(display_path(p) for p in [*chain, path])
            faults.append(f"{where}: extends: forms a cycle: {cycle}")
            break
    return layers


def read_set(overrides: Sequence[str], section: type[BaseModel], faults: list[str]) -> Layer:
    """Parse the ``path=value`` texts of `--set` as one layer. Later texts win. Adds faults to ``faults``."""
    values: dict[KeyPath, Any] = {}
    for text in overrides:
        name, equals, value = text.partition("=")
        path = tuple(name.strip().split("."))
        if not (name.strip() and equals):
            faults.append(f"{SET}: expected path=value, got {text!r}")
        elif unknown := _find_unknown(path, section):
            faults.append(f"{SET}: {unknown}")
        else:
            try:
                values |= flatten(section, unflatten({path: parse_yaml(value)}))
            except yaml.YAMLError as error:
                faults.append(f"{SET}: {name}: not valid YAML: {explain_yaml_error(error)}")
    return Layer(SET, values)


def _find_unknown(path: KeyPath, section: type[BaseModel]) -> str | None:
    """The fault of a path that is neither a leaf nor a section of ``section``; None for a known path."""
    leaves = [leaf for leaf in leaf_paths(section) if leaf != ("extends",)]
    if any(leaf[: len(path)] == path for leaf in leaves):
        return None
    known = [dotted(leaf) for leaf in leaves]
    if not get_close_matches(dotted(path), known, n=1):
        known = list(dict.fromkeys(leaf[0] for leaf in leaves))  # all leaves would be a long list
    return f"{dotted(path)}: unknown key{did_you_mean(dotted(path), known)}"


def merge_layers(layers: Iterable[Layer]) -> tuple[dict[KeyPath, Any], dict[KeyPath, str]]:
    """The value of each leaf in the last layer that sets it, and that layer's name."""
    values: dict[KeyPath, Any] = {}
    where: dict[KeyPath, str] = {}
    for layer in layers:
        values |= layer.values
        where |= dict.fromkeys(layer.values, layer.where)
    return values, where


def drop_overridden(paths: set[KeyPath], values: dict[KeyPath, Any]) -> dict[KeyPath, Any]:
    """Remove other values of ``paths`` from `search.first` and from options, so that `--set` applies to every trial."""
    below = {path[1:] for path in paths if path[0] == "trial"}
    kept = {path: _without_in_options(below, value) if path[0] == "trial" else value for path, value in values.items()}
    first = kept.get(("search", "first"))
    if isinstance(first, list):
        kept["search", "first"] = [_without(below, entry) for entry in first]
    return kept


def _without(paths: set[KeyPath], tree: Any) -> Any:
    """A nested part of a trial without the leaves ``paths``. A value that is not a mapping is returned unchanged."""
    if not isinstance(tree, Mapping):
        return tree
    leaves = flatten(TrialConfig, tree)
    return unflatten({p: _without_in_options(paths, v) for p, v in leaves.items() if p not in paths})


def _without_in_options(paths: set[KeyPath], value: Any) -> Any:
    if not (isinstance(value, Mapping) and list(value) == ["choice"] and isinstance(value["choice"], Mapping)):
        return value
    return {"choice": {option: _without(paths, overrides) for option, overrides in value["choice"].items()}}
