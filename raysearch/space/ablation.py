"""From the tables of a space file to trainings: rows laid over each other, and every row with every seed."""

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
    """A row of a table; its trainings are `config` with each of the ablation's seeds."""

    name: str
    over: str | None
    """The row that it changes; None for a table's first."""
    config: TrialConfig
    view: RowView
    theirs: Mapping[str, float]
    """Published figures by source, in percent."""


@dataclass(frozen=True)
class Table:
    """Rows to be printed together."""

    key: str
    title: str
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Training:
    """A training that one or more rows are figures of."""

    fixed: dict[str, Any]
    """What it does otherwise than `trial`, its seed included."""
    rows: tuple[str, ...]
    """``table: row`` of each of its rows."""


@dataclass(frozen=True)
class Ablation:
    """The tables to train, the seeds that every row of them is trained with, and the trainings that this takes."""

    tables: tuple[Table, ...]
    seeds: tuple[int, ...]
    trainings: tuple[Training, ...]
    """Each once, seed by seed, so that a run which was cut short leaves whole sets of rows."""


def build_ablation(config: AblationConfig, base: Leaves, where: str, faults: list[str]) -> Ablation | None:
    """The ablation over the trial ``base``, or None and its mistakes added to ``faults``.

    ``where``: file and path of the section, for the messages.
    """
    chosen = dict.fromkeys(config.tables if config.only is None else config.only)
    found = [
        f"{where}.only: got {key!r}{did_you_mean(key, config.tables)}" for key in chosen if key not in config.tables
    ]
    found += [
        f"{leaf.place}: an ablation trains its rows as they are; one value must stand here, got a distribution"
        for leaf in base.values()
        if isinstance(leaf.value, Distribution)
    ]
    tables = []
    for key in chosen if not found else ():
        table = config.tables[key]
        tables.append(Table(key, table.title, tuple(_rows(table.rows, base, f"{where}.tables.{key}.rows", found))))
    faults += found
    if found or ("seed",) not in base:
        return None
    seeds = tuple(range(base[("seed",)].value, base[("seed",)].value + config.seeds))
    return Ablation(tuple(tables), seeds, tuple(_trainings(tables, seeds, base)))


def _rows(rows: Sequence[RowConfig], base: Leaves, where: str, faults: list[str]) -> Iterator[Row]:
    """The rows that can be trained; what is wrong with the others is added to ``faults``."""
    known: dict[str, Leaves] = {}
    above: str | None = None
    for index, row in enumerate(rows):
        place, over = f"{where}.{index}", row.over or above
        own = {
            path: Leaf(value, f"{place}.set.{dotted(path)}") for path, value in flatten(TrialConfig, row.set).items()
        }
        found = list(_faults_of_row(row, own, known, place))
        leaves = {**known.get(over or "", base), **own}
        known.setdefault(row.name, leaves)
        above = row.name
        try:
            config = validate_trial(leaves)
        except SpaceError as error:
            faults += [*found, *error.faults]
            continue
        if row.view.endswith("-fused") and not config.has_aux_head:
            found.append(f"{place}.view: needs an auxiliary head (method.aux_weight > 0), got {row.view!r}")
        faults += found
        yield Row(row.name, over, config, row.view, row.theirs)


def _faults_of_row(row: RowConfig, own: Leaves, known: Mapping[str, Leaves], place: str) -> Iterator[str]:
    if row.name in known:
        yield f"{place}.name: the names in a table must differ, got {row.name!r} twice"
    if row.over is not None and row.over not in known:
        hint = did_you_mean(row.over, known) if known else "; the first row is laid over `trial`"
        yield f"{place}.over: a row above it must be named, got {row.over!r}{hint}"
    if ("seed",) in own:
        yield f"{place}.set.seed: every row has the same seeds, trial.seed and on; leave it out"


def _trainings(tables: Sequence[Table], seeds: Sequence[int], base: Leaves) -> Iterator[Training]:
    names: dict[str, list[str]] = {}
    configs: dict[str, TrialConfig] = {}
    for table in tables:
        for row in table.rows:
            key = row.config.model_dump_json()
            names.setdefault(key, []).append(f"{table.key}: {row.name}")
            configs.setdefault(key, row.config)
    for seed in seeds:
        for key, config in configs.items():
            yield Training(_differences(config, base) | {"seed": seed}, tuple(names[key]))


def _differences(config: TrialConfig, base: Leaves) -> dict[str, Any]:
    """The values of ``config`` that are not those of ``base``, nested."""
    values = flatten(TrialConfig, config.model_dump())
    return unflatten({path: value for path, value in values.items() if value != base[path].value})
