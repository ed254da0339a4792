"""Tables of an ablation: figures of each row over its seeds, and differences of rows, paired by seed."""

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
    """Standard error: the sample standard deviation (n - 1) divided by the square root of n; None for a single seed."""
    n: int


@dataclass(frozen=True)
class RowFigures:
    """A row's held-out accuracies in percent; None if no seed has one."""

    row: Row
    last: Estimate | None
    """The row's view after the last epoch. Not selected on held-out images."""
    change: Estimate | None
    """`last` minus `last` of the row that this row changes"""
    gain: Estimate | None
    """`last` minus `last` of the table's first row"""
    best: Estimate | None
    """The same view at its best epoch. Too optimistic, because the same held-out images select the epoch."""
    teacher: Estimate | None
    """The teacher after the last epoch, with the same head"""
    missing: tuple[int, ...]
    """Seeds without a complete training"""


@dataclass(frozen=True)
class TableFigures:
    """One table of the ablation."""

    key: str
    title: str
    seeds: tuple[int, ...]
    rows: tuple[RowFigures, ...]


def estimate(values: Sequence[float]) -> Estimate | None:
    """Mean and standard error of ``values``; None if there are none."""
    if not values:
        return None
    error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None
    return Estimate(statistics.fmean(values), error, len(values))


def estimate_difference(ours: BySeed, others: BySeed) -> Estimate | None:
    """Mean and standard error of ``ours - others``, paired by seed, over the seeds that both have."""
    return estimate([ours[seed] - others[seed] for seed in ours if seed in others])


def build_tables(study: Study) -> tuple[TableFigures, ...]:
    """Build the tables of an ablation; returns none for a search.

    A complete training counts for every row with the same values, whichever row started it.
    """
    paths = StudyPaths(study.root)
    ablation = _read_ablation(paths)
    if ablation is None:
        return ()
    complete = {_key(_read_config(paths, trial)): trial for trial in study.trials if trial.state == "COMPLETE"}
    return tuple(
        TableFigures(table.key, table.title, ablation.seeds, tuple(_rows(table, ablation.seeds, complete)))
        for table in ablation.tables
    )


def count_complete(tables: Sequence[TableFigures]) -> tuple[int, int]:
    """The number of complete trainings and of all trainings; rows with equal values share their trainings."""
    is_complete = {
        (_key(figures.row.config), seed): seed not in figures.missing
        for table in tables
        for figures in table.rows
        for seed in table.seeds
    }
    return sum(is_complete.values()), len(is_complete)


def _read_ablation(paths: StudyPaths) -> Ablation | None:
    space: Any = read_yaml(paths.study).get("space") or {}
    return space_from(space, display_path(paths.study)).ablation if "ablation" in space else None


def _read_config(paths: StudyPaths, trial: Trial) -> TrialConfig:
    path = paths.trial(trial.number).config
    return validate(TrainingConfig, read_yaml(path), display_path(path)).trial


def _key(config: TrialConfig) -> str:
    return config.model_dump_json()


def _rows(table: Table, seeds: Sequence[int], complete: Mapping[str, Trial]) -> list[RowFigures]:
    trials = {row.name: _find_trials(row, seeds, complete) for row in table.rows}
    lasts = {row.name: _accuracies(trials[row.name], row.view, _last_score) for row in table.rows}
    first = table.rows[0].name
    return [
        RowFigures(
            row,
            last=estimate([*lasts[row.name].values()]),
            change=estimate_difference(lasts[row.name], lasts[row.over]) if row.over else None,
            gain=estimate_difference(lasts[row.name], lasts[first]) if row.name != first else None,
            best=estimate([*_accuracies(trials[row.name], row.view, _best_score).values()]),
            teacher=estimate([*_accuracies(trials[row.name], _teacher_view(row), _last_score).values()]),
            missing=tuple(seed for seed in seeds if seed not in lasts[row.name]),
        )
        for row in table.rows
    ]


def _find_trials(row: Row, seeds: Sequence[int], complete: Mapping[str, Trial]) -> dict[int, Trial]:
    keys = {seed: _key(row.config.model_copy(update={"seed": seed})) for seed in seeds}
    return {seed: complete[key] for seed, key in keys.items() if key in complete}


def _accuracies(
    trials: Mapping[int, Trial], view: str, get_score: Callable[[Trial, str], Score | None]
) -> dict[int, float]:
    """Accuracy of ``view`` in percent, by seed, for the seeds that have one."""
    scores = {seed: get_score(trial, view) for seed, trial in trials.items()}
    return {seed: 100 * s.accuracy for seed, s in scores.items() if s is not None and s.accuracy is not None}


def _teacher_view(row: Row) -> str:
    return row.view.replace("student", "teacher")


def _last_score(trial: Trial, view: str) -> Score | None:
    return (trial.curve[-1].held_out or {}).get(view) if trial.curve else None


def _best_score(trial: Trial, view: str) -> Score | None:
    return trial.views.get(view)
