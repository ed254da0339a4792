"""Turns the tables of a space file into trainings: one per row and seed. A row changes an earlier row."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from raysearch.config import TrialConfig
from raysearch.errors import SpaceError, did_you_mean
from raysearch.space.distributions import Distribution, Leaf, Leaves
from raysearch.space.schema import AblationConfig, RowConfig, RowView, dotted, flatten, unflatten
from raysearch.space.search_space import validate_trial


@dataclass(frozen=True)
class Row:
    """A row of a table. Its trainings use `config` with each of the ablation's seeds."""

    name: str
    over: str | None
    """The name of the row that it changes. None for the first row of a table."""
    config: TrialConfig
    view: RowView
    theirs: Mapping[str, float]
    """Published figures by source, in percent."""


@dataclass(frozen=True)
class Table:
    """Rows that are printed together."""

    key: str
    title: str
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Training:
    """A training whose figures appear in one or more rows."""

    fixed: dict[str, Any]
    """Its values that differ from `trial`, nested; always includes the seed."""
    rows: tuple[str, ...]
    """The names of its rows, as ``table: row``."""


@dataclass(frozen=True)
class Ablation:
    """The tables to train, the seeds of every row, and the trainings that they need."""

    tables: tuple[Table, ...]
    seeds: tuple[int, ...]
    trainings: tuple[Training, ...]
    """Without duplicates, ordered by seed: a search that is stopped early has finished all rows for its first seeds."""


def build_ablation(config: AblationConfig, base: Leaves, where: str, faults: list[str]) -> Ablation | None:
    """Build the ablation whose first rows change the trial ``base``. Adds faults to ``faults``, and then returns None.

    ``where``: file and path of the section, for the messages.
    """
    chosen = dict.fromkeys(config.tables if config.only is None else config.only)
    new_faults = [
        f"{where}.only: got {key!r}{did_you_mean(key, config.tables)}" for key in chosen if key not in config.tables
    ]
    new_faults += [
        f"{leaf.place}: an ablation trains fixed values; expected one value, got a distribution"
        for leaf in base.values()
        if isinstance(leaf.value, Distribution)
    ]
    tables = []
    for key in chosen if not new_faults else ():
        table = config.tables[key]
        tables.append(
            Table(key, table.title, tuple(_build_rows(table.rows, base, f"{where}.tables.{key}.rows", new_faults)))
        )
    faults += new_faults
    if new_faults or ("seed",) not in base:
        return None
    seeds = tuple(range(base[("seed",)].value, base[("seed",)].value + config.seeds))
    return Ablation(tuple(tables), seeds, tuple(_build_trainings(tables, seeds, base)))


def _build_rows(rows: Sequence[RowConfig], base: Leaves, where: str, faults: list[str]) -> Iterator[Row]:
    """Yield the valid rows. Adds the faults of the others to ``faults``."""
    known: dict[str, Leaves] = {}
    previous: str | None = None
    for index, row in enumerate(rows):
        place, over = f"{where}.{index}", row.over or previous
        own = {
            path: Leaf(value, f"{place}.set.{dotted(path)}") for path, value in flatten(TrialConfig, row.set).items()
        }
        row_faults = list(_find_row_faults(row, own, known, place))
        leaves = {**known.get(over or "", base), **own}
        known.setdefault(row.name, leaves)
        previous = row.name
        try:
            config = validate_trial(leaves)
        except SpaceError as error:
            faults += [*row_faults, *error.faults]
            continue
        if row.view.endswith("-fused") and not config.has_aux_head:
            row_faults.append(f"{place}.view: needs an auxiliary head (method.aux_weight > 0), got {row.view!r}")
        faults += row_faults
        yield Row(row.name, over, config, row.view, row.theirs)


def _find_row_faults(row: RowConfig, own: Leaves, known: Mapping[str, Leaves], place: str) -> Iterator[str]:
    if row.name in known:
        yield f"{place}.name: names in a table must be unique, got {row.name!r} twice"
    if row.over is not None and row.over not in known:
        hint = did_you_mean(row.over, known) if known else "; the first row always changes `trial`"
        yield f"{place}.over: must name an earlier row of the table, got {row.over!r}{hint}"
    if ("seed",) in own:
        yield f"{place}.set.seed: all rows have the same seeds, from trial.seed; remove it"


def _build_trainings(tables: Sequence[Table], seeds: Sequence[int], base: Leaves) -> Iterator[Training]:
    names: dict[str, list[str]] = {}
    configs: dict[str, TrialConfig] = {}
    for table in tables:
        for row in table.rows:
            key = row.config.model_dump_json()
            names.setdefault(key, []).append(f"{table.key}: {row.name}")
            configs.setdefault(key, row.config)
    for seed in seeds:
        for key, config in configs.items():
            yield Training(_select_differences(config, base) | {"seed": seed}, tuple(names[key]))


def _select_differences(config: TrialConfig, base: Leaves) -> dict[str, Any]:
    """The values of ``config`` that differ from ``base``, nested."""
    values = flatten(TrialConfig, config.model_dump())
    return unflatten({path: value for path, value in values.items() if value != base[path].value})
