"""The trials of a stored study, made trials of the space in force, which may have grown since they were drawn.

Optuna refuses other options under a parameter's name, and its samplers model only trials whose distributions agree. So
the database is told that its trials were drawn from the grown space; their values stay. It is changed in place, in one
transaction: were another file renamed over it, a program that has it open (`optuna-dashboard`) could damage both.
"""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any, NamedTuple, TypeAlias

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
    json_to_distribution,
)

from raysearch.errors import StudyError
from raysearch.paths import StudyPaths
from raysearch.space import Choice, Distribution, Space, load_training

WAIT_S = 60.0
"""Seconds that another program may take to write to the database."""
TRIALS = "SELECT trial_id FROM trials JOIN studies USING (study_id) WHERE study_name = ?"
Grown: TypeAlias = dict[str, BaseDistribution]
"""Every parameter of the space in force, by name."""


class _Param(NamedTuple):
    """A row of Optuna's `trial_params`: the value is the number that stands for it, the text its distribution."""

    id: int
    trial_id: int
    name: str
    value: float
    text: str


def regrow(paths: StudyPaths, space: Space) -> None:
    """Bring what `study.db` holds of parameters to ``space``; what agrees with it already is left alone.

    A trial whose value was fixed, and could be drawn now, gains the parameter. Raises `StudyError`: the file is no
    database, another program keeps it locked, or a trial's option is none of ``space``.
    """
    grown = {name: _of_optuna(distribution) for name, distribution in space.trial.parameters()}
    try:
        with closing(sqlite3.connect(paths.database, timeout=WAIT_S, isolation_level=None)) as database, database:
            database.execute("BEGIN IMMEDIATE")
            if database.execute("SELECT 1 FROM sqlite_master WHERE name = 'trial_params'").fetchone():
                _regrow(database, paths, space, grown)
    except sqlite3.DatabaseError as error:
        raise StudyError(f"{paths.database}: cannot be brought to the space in force ({error})") from error


def _of_optuna(distribution: Distribution) -> BaseDistribution:
    """As Optuna stores what `Distribution.suggest` asks it for."""
    if isinstance(distribution, Choice):
        return CategoricalDistribution(distribution.options)
    if distribution.kind == "int":
        return IntDistribution(int(distribution.low), int(distribution.high))
    return FloatDistribution(distribution.low, distribution.high, log=distribution.kind == "loguniform")


def _regrow(database: sqlite3.Connection, paths: StudyPaths, space: Space, grown: Grown) -> None:
    columns = "param_id, trial_id, param_name, param_value, distribution_json"
    found = database.execute(f"SELECT {columns} FROM trial_params WHERE trial_id IN ({TRIALS})", (space.study,))
    params = [_Param(*row) for row in found]
    changed = list(_changed(params, grown, paths))
    database.executemany(
        "UPDATE trial_params SET param_value = ?, distribution_json = ? WHERE param_id = ?",
        [(param.value, param.text, param.id) for param in changed],
    )
    if changed or grown.keys() - {param.name for param in params}:
        added = list(_added(database, params, grown, paths, space))
        database.executemany(
            "INSERT INTO trial_params (trial_id, param_name, param_value, distribution_json) VALUES (?, ?, ?, ?)", added
        )
        if changed or added:  # CMA-ES starts anew: it has stored its state in shares of the ranges
            state = "DELETE FROM trial_system_attributes WHERE key LIKE 'cma%:%'"
            database.execute(f"{state} AND trial_id IN ({TRIALS})", (space.study,))
    _enqueue_again(database, space)


def _changed(params: list[_Param], grown: Grown, paths: StudyPaths) -> Iterator[_Param]:
    stored = {text: json_to_distribution(text) for text in {param.text for param in params}}
    for param in params:
        before, now = stored[param.text], grown.get(param.name)
        if now is None or now == before:
            continue
        value = before.to_external_repr(param.value)
        try:
            yield param._replace(value=now.to_internal_repr(value), text=distribution_to_json(now))
        except ValueError as error:
            raise StudyError(
                f"{paths.database}: a trial has {param.name} = {value!r}, which the space does not have; "
                "give the space as it was, or another --out"
            ) from error


def _added(
    database: sqlite3.Connection, params: list[_Param], grown: Grown, paths: StudyPaths, space: Space
) -> Iterator[tuple[int, str, float, str]]:
    """Rows for the parameters that trials would have had in this space, by what they were trained with."""
    known = {(param.trial_id, param.name) for param in params}
    numbers = database.execute(f"SELECT trial_id, number FROM trials WHERE trial_id IN ({TRIALS})", (space.study,))
    for trial_id, number in numbers:
        config = paths.trial(number).config
        if not config.is_file():
            continue
        for name, value in space.trial.params_of(load_training(config).trial.model_dump()).items():
            if (trial_id, name) not in known:
                yield trial_id, name, grown[name].to_internal_repr(value), distribution_to_json(grown[name])


def _enqueue_again(database: sqlite3.Connection, space: Space) -> None:
    """Of trials of `search.first` that are still to be drawn, fix the values that have come into the space."""
    found = database.execute(
        "SELECT asked.trial_system_attribute_id, asked.value_json, first.value_json FROM trials "
        "JOIN trial_system_attributes AS asked USING (trial_id) JOIN trial_user_attributes AS first USING (trial_id) "
        "WHERE state IN ('WAITING', 'RUNNING') AND asked.key = 'fixed_params' AND first.key = 'fixed' "
        f"AND trial_id IN ({TRIALS})",
        (space.study,),
    )
    for row, asked, first in found.fetchall():
        before: dict[str, Any] = json.loads(asked)
        now = before | space.trial.params_of(json.loads(first))
        if now != before:
            update = "UPDATE trial_system_attributes SET value_json = ? WHERE trial_system_attribute_id = ?"
            database.execute(update, (json.dumps(now), row))
