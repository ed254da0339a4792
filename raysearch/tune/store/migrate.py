"""Brings the trials of a stored study to the space in force, which may have grown since they were drawn.

Optuna refuses other options under a parameter's name, and its samplers model only trials whose distributions agree. So
the database is changed to say that its trials were drawn from the grown space; their values stay. It is changed in
place, in one transaction: renaming another file over it could damage both for a program that has it open
(`optuna-dashboard`).
"""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any, TypeAlias

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
from raysearch.tune.store.optuna_private import SCHEMA_VERSION, Param, StudyTables

WAIT_S = 60.0
"""Seconds to wait while another program writes to the database."""
Grown: TypeAlias = dict[str, BaseDistribution]
"""Every parameter of the space in force, by name."""


def migrate_study(paths: StudyPaths, space: Space) -> None:
    """Bring the parameters in `study.db` to ``space``. Parameters that agree with it already are left alone.

    A trial whose value was fixed, and could be drawn now, gains the parameter. Raises `StudyError`: the file is no
    database or has another layout, another program keeps it locked, or ``space`` lacks an option that a trial has.
    """
    grown = {name: _to_optuna(distribution) for name, distribution in space.trial.parameters()}
    try:
        with closing(sqlite3.connect(paths.database, timeout=WAIT_S, isolation_level=None)) as database, database:
            database.execute("BEGIN IMMEDIATE")
            tables = StudyTables(database, space.study)
            version = tables.schema_version()
            if version not in (None, SCHEMA_VERSION):
                raise StudyError(
                    f"{paths.database}: was written by another version of Optuna (layout {version}, expected "
                    f"{SCHEMA_VERSION}); install the versions that study.yaml lists, or give another --out"
                )
            if version is not None:
                _migrate(tables, paths, space, grown)
    except sqlite3.DatabaseError as error:
        raise StudyError(f"{paths.database}: cannot be brought to the space in force ({error})") from error


def _to_optuna(distribution: Distribution) -> BaseDistribution:
    """As Optuna stores what `Distribution.suggest` asks it for."""
    if isinstance(distribution, Choice):
        return CategoricalDistribution(distribution.options)
    if distribution.kind == "int":
        return IntDistribution(int(distribution.low), int(distribution.high))
    return FloatDistribution(distribution.low, distribution.high, log=distribution.kind == "loguniform")


def _migrate(tables: StudyTables, paths: StudyPaths, space: Space, grown: Grown) -> None:
    params = tables.params()
    changed = list(_changed(params, grown, paths))
    tables.update_params(changed)
    if changed or grown.keys() - {param.name for param in params}:
        added = list(_added(tables, params, grown, paths, space))
        tables.insert_params(added)
        if changed or added:
            tables.delete_cmaes_state()
    _update_enqueued(tables, space)


def _changed(params: list[Param], grown: Grown, paths: StudyPaths) -> Iterator[Param]:
    stored = {text: json_to_distribution(text) for text in {param.distribution for param in params}}
    for param in params:
        before, now = stored[param.distribution], grown.get(param.name)
        if now is None or now == before:
            continue
        value = before.to_external_repr(param.value)
        try:
            yield param._replace(value=now.to_internal_repr(value), distribution=distribution_to_json(now))
        except ValueError as error:
            raise StudyError(
                f"{paths.database}: a trial has {param.name} = {value!r}, which the space does not have; "
                "give the space as it was, or another --out"
            ) from error


def _added(
    tables: StudyTables, params: list[Param], grown: Grown, paths: StudyPaths, space: Space
) -> Iterator[tuple[int, str, float, str]]:
    """Rows for the parameters that trials would have had in this space, by what they were trained with."""
    known = {(param.trial_id, param.name) for param in params}
    for trial_id, number in tables.trial_numbers():
        config = paths.trial(number).config
        if not config.is_file():
            continue
        for name, value in space.trial.to_params(load_training(config).trial.model_dump()).items():
            if (trial_id, name) not in known:
                yield trial_id, name, grown[name].to_internal_repr(value), distribution_to_json(grown[name])


def _update_enqueued(tables: StudyTables, space: Space) -> None:
    """Fix the values that have come into the space in trials of `search.first` that are still to be drawn."""
    for row, asked, first in tables.unfinished_fixed_params("fixed"):
        before: dict[str, Any] = json.loads(asked)
        now = before | space.trial.to_params(json.loads(first))
        if now != before:
            tables.set_fixed_params(row, json.dumps(now))
