"""Loads a space file as a `Space`, and a config or a space without distributions as a `TrainingConfig`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from raysearch.config import DataConfig, TrainingConfig, TrialConfig
from raysearch.errors import SpaceError
from raysearch.io import display_path
from raysearch.section import Section, describe_fault
from raysearch.space.ablation import Ablation, Training, build_ablation
from raysearch.space.check import find_leaf_faults
from raysearch.space.distributions import parse_leaves
from raysearch.space.layers import SET, Layer, drop_overridden, merge_layers, read_layers, read_set
from raysearch.space.schema import (
    KeyPath,
    ResourcesConfig,
    SearchConfig,
    SpaceFile,
    dotted,
    flatten,
    leaf_paths,
    unflatten,
)
from raysearch.space.search_space import SearchSpace

SectionT = TypeVar("SectionT", bound=Section)
IGNORED_BY_TRAINING = ("study", "resources", "search", "ablation")
IGNORED_BY_ABLATION = ("trials", "sampler", "scheduler", "grace", "reduction_factor", "first")
"""Keys of `search` that an ablation ignores."""


@dataclass(frozen=True)
class Space:
    """A checked space: what is fixed, what is searched, and what the search may use."""

    study: str
    data: DataConfig
    resources: ResourcesConfig
    search: SearchConfig
    trial: SearchSpace
    ablation: Ablation | None
    """Set if the file has tables. `search.first` then holds its trainings, and `search.trials` their number."""
    resolved: dict[str, Any]
    """Plain values of all sections, defaults included. `space_from` makes the same space from them."""

    def values(self, path: str) -> tuple[Any, ...]:
        """Every value that a trial may have at ``path``, including `search.first`. A range gives its two ends."""
        keys = tuple(path.split("."))
        first = [flatten(TrialConfig, entry) for entry in self.search.first]
        return tuple(dict.fromkeys([*self.trial.values(path), *(entry[keys] for entry in first if keys in entry)]))

    def with_trials(self, trials: int) -> "Space":
        """The same search with ``trials`` trials."""
        search = self.search.model_copy(update={"trials": trials})
        return replace(self, search=search, resolved={**self.resolved, "search": search.model_dump()})

    def with_source(self, source: str) -> "Space":
        """The same search with `data.source` set to ``source``."""
        data = self.data.model_copy(update={"source": source})
        return replace(self, data=data, resolved={**self.resolved, "data": data.model_dump()})


def load_space(path: Path, overrides: Sequence[str] = ()) -> Space:
    """Load the space file at ``path`` with ``overrides`` (`--set` texts, ``path=value``).

    Raises one `SpaceError` with all faults: file, dotted path, expected value, value got.
    """
    faults: list[str] = []
    layers = read_layers(path, faults)
    if faults:  # `study` may be set in a file that could not be read: do not report it as missing
        layers.insert(0, Layer(display_path(path), {("study",): "unknown"}))
    layers.append(read_set(overrides, SpaceFile, faults))
    values, places = merge_layers(layers)
    given = set(layers[-1].values)
    space = _build_space(drop_overridden(given, values), places, display_path(path), faults)
    if space.ablation and (ignored := list(_find_ignored(space, given))):
        raise SpaceError(ignored)
    return space


def _find_ignored(space: Space, given: set[KeyPath]) -> Iterator[str]:
    """Find `--set` values that an ablation would ignore. Values in a file are allowed: it may extend a search's
    file."""
    for path in sorted(given):
        if path[0] == "search" and path[1] in IGNORED_BY_ABLATION:
            yield f"{SET}: {dotted(path)}: has no effect on an ablation, which trains every row with every seed"
    for table in space.ablation.tables if space.ablation else ():
        rows = space.resolved["ablation"]["tables"][table.key]["rows"]
        set_by_rows = {("trial", *path) for row in rows for path in flatten(TrialConfig, row["set"])}
        for path in sorted(given & set_by_rows):
            yield f"{SET}: {dotted(path)}: rows of ablation.tables.{table.key} set this value; change it there"


def space_from(resolved: Mapping[str, Any], where: str) -> Space:
    """Build the space from `Space.resolved`, as stored in `study.yaml`. ``where``: the file's name, for messages."""
    return _build_space(flatten(SpaceFile, resolved), {}, where, [])


def load_training(path: Path, overrides: Sequence[str] = ()) -> TrainingConfig:
    """Load one training: a trial's `config.yaml`, or a space file without distributions after ``overrides``.

    Uses `data`, `trial` and `search.objective` of a space file, and ignores its other sections.
    Raises one `SpaceError` with all faults. A remaining distribution is a fault.
    """
    faults: list[str] = []
    values, files = merge_layers([*read_layers(path, faults), read_set(overrides, TrainingConfig, faults)])
    places = _Places(files, display_path(path))
    if ("search", "objective") in values:  # the same value in a space file
        values.setdefault(("objective",), values["search", "objective"])
        files.setdefault(("objective",), files["search", "objective"])
    values = {leaf: value for leaf, value in values.items() if leaf[0] not in IGNORED_BY_TRAINING}
    for leaf in leaf_paths(TrainingConfig):
        if leaf[0] == "trial" and isinstance(values.get(leaf), Mapping):
            hint = f"give a value with --set {dotted(leaf)}=..."
            faults.append(f"{places.locate(leaf)}: a training needs one value, got a distribution; {hint}")
            del values[leaf]
    training = _validated(TrainingConfig, values, places, faults)
    if training is None or faults:
        raise SpaceError(faults)
    return training


@dataclass(frozen=True)
class _Places:
    """The file that sets each leaf. ``main``: the loaded file, for leaves that no file sets."""

    files: Mapping[KeyPath, str]
    main: str

    def locate(self, path: KeyPath) -> str:
        """The file and dotted path of a leaf, for messages."""
        prefixes = (path[:n] for n in range(len(path), 0, -1))
        file = next((self.files[prefix] for prefix in prefixes if prefix in self.files), self.main)
        return f"{file}: {dotted(path)}"


def _build_space(values: Mapping[KeyPath, Any], files: Mapping[KeyPath, str], main: str, faults: list[str]) -> Space:
    places = _Places(files, main)
    values = {**_defaults(values), **values}
    trial = {path[1:]: value for path, value in values.items() if path[0] == "trial" and len(path) > 1}
    rest = {path: value for path, value in values.items() if path[0] != "trial" or len(path) == 1}
    file = _validated(SpaceFile, rest, places, faults)
    leaves = parse_leaves(trial, {path: places.locate(("trial", *path)) for path in trial}, faults)
    faults += find_leaf_faults(leaves, _entries(rest.get(("search", "first")), places))
    ablation = None
    if file is not None and file.ablation.tables:
        ablation = build_ablation(file.ablation, leaves, places.locate(("ablation",)), faults)
    if file is not None and file.data.fold is not None:
        place = places.locate(("data", "fold"))
        faults.append(f"{place}: must not be set, because a study trains all folds, got {file.data.fold}; remove it")
    if file is None or faults:
        raise SpaceError(dict.fromkeys(faults))
    sections = {name: getattr(file, name).model_dump() for name in ("data", "resources", "search")}
    resolved = {"study": file.study, **sections, "trial": unflatten(trial)}
    search = file.search
    if ablation is not None:
        resolved["ablation"] = file.ablation.model_dump()
        search = _make_search(ablation.trainings, search)
    return Space(file.study, file.data, file.resources, search, SearchSpace(leaves), ablation, resolved)


def _make_search(trainings: Sequence[Training], search: SearchConfig) -> SearchConfig:
    """The search that runs exactly these ``trainings``, each to its last epoch."""
    first = [training.fixed for training in trainings]
    return search.model_copy(update={"first": first, "trials": len(first), "scheduler": "none", "sampler": "random"})


def _defaults(values: Mapping[KeyPath, Any]) -> dict[KeyPath, Any]:
    """The default of every leaf of a trial. With stages, the default of `epochs` is null."""
    defaults = flatten(SpaceFile, {"trial": TrialConfig().model_dump()})
    return {**defaults, ("trial", "epochs"): None} if values.get(("trial", "stages")) else defaults


def _entries(first: Any, places: _Places) -> dict[str, Mapping[str, Any]]:
    """The entries of `search.first` by place. Entries that are not mappings are skipped: validation reports them."""
    entries = first if isinstance(first, list) else []
    where = places.locate(("search", "first"))
    return {f"{where}.{i}": entry for i, entry in enumerate(entries) if isinstance(entry, Mapping)}


def _validated(
    section: type[SectionT], values: Mapping[KeyPath, Any], places: _Places, faults: list[str]
) -> SectionT | None:
    """Validate a section. Adds faults to ``faults``, and then returns None."""
    try:
        return section.model_validate(unflatten(values))
    except ValidationError as error:
        for item in error.errors():
            place = places.locate(tuple(str(key) for key in item["loc"]))
            faults.append(f"{place}: {describe_fault(section, item)}")
    return None
