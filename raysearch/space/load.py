"""A space file, checked, as a `Space`; a config or a space without distributions as a `TrainingConfig`."""

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
"""Values of `search` that an ablation has no use for."""


@dataclass(frozen=True)
class Space:
    """A search, whole: what is fixed, what is searched, what it may cost."""

    study: str
    data: DataConfig
    resources: ResourcesConfig
    search: SearchConfig
    trial: SearchSpace
    ablation: Ablation | None
    """What is trained instead of a search; `search.first` are then its trainings and `search.trials` their number."""
    resolved: dict[str, Any]
    """Plain values of all sections, defaults included: `space_from` makes the same space of them."""

    def values(self, path: str) -> tuple[Any, ...]:
        """Every value that a trial may have at ``path``, in `search.first` too; of a range its two ends."""
        keys = tuple(path.split("."))
        first = [flatten(TrialConfig, entry) for entry in self.search.first]
        return tuple(dict.fromkeys([*self.trial.values(path), *(entry[keys] for entry in first if keys in entry)]))

    def with_trials(self, trials: int) -> "Space":
        """The same search for so many trials."""
        search = self.search.model_copy(update={"trials": trials})
        return replace(self, search=search, resolved={**self.resolved, "search": search.model_dump()})

    def with_source(self, source: str) -> "Space":
        """The same search on the data at ``source``."""
        data = self.data.model_copy(update={"source": source})
        return replace(self, data=data, resolved={**self.resolved, "data": data.model_dump()})


def load_space(path: Path, overrides: Sequence[str] = ()) -> Space:
    """The space in the file at ``path`` with ``overrides`` (`--set` texts, ``path=value``).

    Raises a `SpaceError` with every mistake: file, dotted path, what had to hold, value got.
    """
    faults: list[str] = []
    layers = read_layers(path, faults)
    if faults:  # what a file that could not be read says is not known to be missing
        layers.insert(0, Layer(display_path(path), {("study",): "unknown"}))
    layers.append(read_set(overrides, SpaceFile, faults))
    values, places = merge_layers(layers)
    given = set(layers[-1].values)
    space = _space(drop_overridden(given, values), places, display_path(path), faults)
    if space.ablation and (vain := list(_vain_settings(space, given))):
        raise SpaceError(vain)
    return space


def _vain_settings(space: Space, given: set[KeyPath]) -> Iterator[str]:
    """What `--set` cannot do to an ablation. A file's own values for a search are passed over: it may extend one's."""
    for path in sorted(given):
        if path[0] == "search" and path[1] in IGNORED_BY_ABLATION:
            yield f"{SET}: {dotted(path)}: not for an ablation, which trains every row with every seed"
    for table in space.ablation.tables if space.ablation else ():
        rows = space.resolved["ablation"]["tables"][table.key]["rows"]
        decided = {("trial", *path) for row in rows for path in flatten(TrialConfig, row["set"])}
        for path in sorted(given & decided):
            yield f"{SET}: {dotted(path)}: the rows of ablation.tables.{table.key} differ in it; change them there"


def space_from(resolved: Mapping[str, Any], where: str) -> Space:
    """The space of `Space.resolved`, as `study.yaml` keeps it; ``where`` names its file in messages."""
    return _space(flatten(SpaceFile, resolved), {}, where, [])


def load_training(path: Path, overrides: Sequence[str] = ()) -> TrainingConfig:
    """One training: a trial's `config.yaml`, or a space file in which ``overrides`` leave nothing to draw.

    Of a space file it takes `data`, `trial` and `search.objective`; the rest is the search's.
    Raises a `SpaceError` with every mistake, leaves that are still distributions among them.
    """
    faults: list[str] = []
    values, files = merge_layers([*read_layers(path, faults), read_set(overrides, TrainingConfig, faults)])
    places = _Places(files, display_path(path))
    if ("search", "objective") in values:  # a space file's name for it
        values.setdefault(("objective",), values["search", "objective"])
        files.setdefault(("objective",), files["search", "objective"])
    values = {leaf: value for leaf, value in values.items() if leaf[0] not in IGNORED_BY_TRAINING}
    for leaf in leaf_paths(TrainingConfig):
        if leaf[0] == "trial" and isinstance(values.get(leaf), Mapping):
            hint = f"give a value with --set {dotted(leaf)}=..."
            faults.append(f"{places.of(leaf)}: a training needs one value, got a distribution; {hint}")
            del values[leaf]
    training = _validated(TrainingConfig, values, places, faults)
    if training is None or faults:
        raise SpaceError(faults)
    return training


@dataclass(frozen=True)
class _Places:
    """Where each leaf stands: its file, else the file that was asked for."""

    files: Mapping[KeyPath, str]
    main: str

    def of(self, path: KeyPath) -> str:
        prefixes = (path[:n] for n in range(len(path), 0, -1))
        file = next((self.files[prefix] for prefix in prefixes if prefix in self.files), self.main)
        return f"{file}: {dotted(path)}"


def _space(values: Mapping[KeyPath, Any], files: Mapping[KeyPath, str], main: str, faults: list[str]) -> Space:
    places = _Places(files, main)
    values = {**_defaults(values), **values}
    trial = {path[1:]: value for path, value in values.items() if path[0] == "trial" and len(path) > 1}
    rest = {path: value for path, value in values.items() if path[0] != "trial" or len(path) == 1}
    file = _validated(SpaceFile, rest, places, faults)
    leaves = parse_leaves(trial, {path: places.of(("trial", *path)) for path in trial}, faults)
    faults += find_leaf_faults(leaves, _entries(rest.get(("search", "first")), places))
    ablation = None
    if file is not None and file.ablation.tables:
        ablation = build_ablation(file.ablation, leaves, places.of(("ablation",)), faults)
    if file is not None and file.data.fold is not None:
        place = places.of(("data", "fold"))
        faults.append(f"{place}: a study has all folds, got {file.data.fold}; leave it out")
    if file is None or faults:
        raise SpaceError(dict.fromkeys(faults))
    sections = {name: getattr(file, name).model_dump() for name in ("data", "resources", "search")}
    resolved = {"study": file.study, **sections, "trial": unflatten(trial)}
    search = file.search
    if ablation is not None:
        resolved["ablation"] = file.ablation.model_dump()
        search = _search_of(ablation.trainings, search)
    return Space(file.study, file.data, file.resources, search, SearchSpace(leaves), ablation, resolved)


def _search_of(trainings: Sequence[Training], search: SearchConfig) -> SearchConfig:
    """The search that runs just these ``trainings``, each to its end."""
    first = [training.fixed for training in trainings]
    return search.model_copy(update={"first": first, "trials": len(first), "scheduler": "none", "sampler": "random"})


def _defaults(values: Mapping[KeyPath, Any]) -> dict[KeyPath, Any]:
    """Every leaf of a trial at its default; beside a stage list there is none for `epochs`."""
    defaults = flatten(SpaceFile, {"trial": TrialConfig().model_dump()})
    return {**defaults, ("trial", "epochs"): None} if values.get(("trial", "stages")) else defaults


def _entries(first: Any, places: _Places) -> dict[str, Mapping[str, Any]]:
    """The entries of `search.first` by their place; what is no mapping has been reported."""
    entries = first if isinstance(first, list) else []
    where = places.of(("search", "first"))
    return {f"{where}.{i}": entry for i, entry in enumerate(entries) if isinstance(entry, Mapping)}


def _validated(
    section: type[SectionT], values: Mapping[KeyPath, Any], places: _Places, faults: list[str]
) -> SectionT | None:
    """The section, or none and its mistakes added to ``faults``."""
    try:
        return section.model_validate(unflatten(values))
    except ValidationError as error:
        for item in error.errors():
            place = places.of(tuple(str(key) for key in item["loc"]))
            faults.append(f"{place}: {describe_fault(section, item)}")
    return None
