"""An ablation's tables: the figures of each row over its seeds, and what rows differ by, seed by seed."""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from raysearch.config import TrainingConfig, TrialConfig
from raysearch.io import display_path, read_yaml
from raysearch.paths import StudyPaths
from raysearch.report.stored import Score
from raysearch.report.study import Study, Trial
from raysearch.section import validate
from raysearch.space import Ablation, Row, Table, space_from

BySeed: TypeAlias = Mapping[int, float]
"""A figure in percent by seed."""


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds."""

    mean: float
    error: float | None
    """Its standard error: the sample's standard deviation (n - 1) over the root of n; None of a single seed."""
    n: int


@dataclass(frozen=True)
class RowFigures:
    """A row's held-out accuracies in percent; None where no seed has one."""

    row: Row
    last: Estimate | None
    """Of the row's view after the last epoch: no held-out image had a say in which weights these are."""
    change: Estimate | None
    """`last` minus that of the row that this one changes."""
    gain: Estimate | None
    """`last` minus that of the table's first row."""
    best: Estimate | None
    """Of the same view at the epoch that the held-out images chose, on those images: it flatters."""
    teacher: Estimate | None
    """Of the teacher after the last epoch, with the same head."""
    missing: tuple[int, ...]
    """Seeds without a complete training."""


@dataclass(frozen=True)
class TableFigures:
    """A table of the ablation."""

    key: str
    title: str
    seeds: tuple[int, ...]
    rows: tuple[RowFigures, ...]


def estimate(values: Sequence[float]) -> Estimate | None:
    """Mean and standard error of ``values``; None of none."""
    if not values:
        return None
    error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None
    return Estimate(statistics.fmean(values), error, len(values))


def paired(ours: BySeed, others: BySeed) -> Estimate | None:
    """Mean and standard error of ``ours - others`` seed by seed, over the seeds that both have."""
    return estimate([ours[seed] - others[seed] for seed in ours if seed in others])


def tables_of(study: Study) -> tuple[TableFigures, ...]:
    """The tables of an ablation; none of a search.

    A complete training belongs to every row whose values are its own, whenever and for whichever row it ran.
    """
    paths = StudyPaths(study.root)
    ablation = _ablation(paths)
    if ablation is None:
        return ()
    complete = {_key(_config(paths, trial)): trial for trial in study.trials if trial.state == "COMPLETE"}
    return tuple(
        TableFigures(table.key, table.title, ablation.seeds, tuple(_rows(table, ablation.seeds, complete)))
        for table in ablation.tables
    )


def progress_of(tables: Sequence[TableFigures]) -> tuple[int, int]:
    """How many of the tables' trainings are complete, and how many there are; rows of equal values share theirs."""
    is_complete = {
        (_key(figures.row.config), seed): seed not in figures.missing
        for table in tables
        for figures in table.rows
        for seed in table.seeds
    }
    return sum(is_complete.values()), len(is_complete)


def _ablation(paths: StudyPaths) -> Ablation | None:
    space: Any = read_yaml(paths.study).get("space") or {}
    return space_from(space, display_path(paths.study)).ablation if "ablation" in space else None


def _config(paths: StudyPaths, trial: Trial) -> TrialConfig:
    path = paths.trial(trial.number).config
    return validate(TrainingConfig, read_yaml(path), display_path(path)).trial


def _key(config: TrialConfig) -> str:
    return config.model_dump_json()


def _rows(table: Table, seeds: Sequence[int], complete: Mapping[str, Trial]) -> list[RowFigures]:
    trials = {row.name: _by_seed(row, seeds, complete) for row in table.rows}
    lasts = {row.name: _figures(trials[row.name], row.view, _at_last) for row in table.rows}
    first = table.rows[0].name
    return [
        RowFigures(
            row,
            last=estimate([*lasts[row.name].values()]),
            change=paired(lasts[row.name], lasts[row.over]) if row.over else None,
            gain=paired(lasts[row.name], lasts[first]) if row.name != first else None,
            best=estimate([*_figures(trials[row.name], row.view, _at_best).values()]),
            teacher=estimate([*_figures(trials[row.name], row.view.replace("student", "teacher"), _at_last).values()]),
            missing=tuple(seed for seed in seeds if seed not in lasts[row.name]),
        )
        for row in table.rows
    ]


def _by_seed(row: Row, seeds: Sequence[int], complete: Mapping[str, Trial]) -> dict[int, Trial]:
    keys = {seed: _key(row.config.model_copy(update={"seed": seed})) for seed in seeds}
    return {seed: complete[key] for seed, key in keys.items() if key in complete}


def _figures(trials: Mapping[int, Trial], view: str, at: Callable[[Trial, str], Score | None]) -> dict[int, float]:
    """Accuracy of ``view`` in percent, of the seeds that have one."""
    scores = {seed: at(trial, view) for seed, trial in trials.items()}
    return {seed: 100 * s.accuracy for seed, s in scores.items() if s is not None and s.accuracy is not None}


def _at_last(trial: Trial, view: str) -> Score | None:
    return (trial.curve[-1].held_out or {}).get(view) if trial.curve else None


def _at_best(trial: Trial, view: str) -> Score | None:
    return trial.views.get(view)
