"""Migrates the trials of a stored study to the current space, which may have grown since they were drawn.

Optuna refuses new options under a known parameter name, and its samplers model only trials whose distributions agree.
So the database is changed to say that its trials were drawn from the grown space; their values stay. The change is made
in place, in one transaction: a new file under the old name could damage the database for a program that has it open
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
"""Every parameter of the current space, by name."""


def migrate_study(paths: StudyPaths, space: Space) -> None:
    """Change the parameters in `study.db` to those of ``space``. Parameters that already agree are not touched.

    A trial with a value that was fixed then and is a parameter now gains the parameter. Raises `StudyError` if the file
    is not a database or has another layout, if another program keeps it locked, or if ``space`` lacks an option that a
    trial has.
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
                    f"{SCHEMA_VERSION}); install the versions listed in study.yaml, or give another --out"
                )
            if version is not None:
                _migrate(tables, paths, space, grown)
    except sqlite3.DatabaseError as error:
        raise StudyError(f"{paths.database}: cannot be changed to the current space ({error})") from error


def _to_optuna(distribution: Distribution) -> BaseDistribution:
    """The Optuna distribution that `Distribution.suggest` draws from."""
    if isinstance(distribution, Choice):
        return CategoricalDistribution(distribution.options)
    if distribution.kind == "int":
        return IntDistribution(int(distribution.low), int(distribution.high))
    return FloatDistribution(distribution.low, distribution.high, log=distribution.kind == "loguniform")


def _migrate(tables: StudyTables, paths: StudyPaths, space: Space, grown: Grown) -> None:
    params = tables.params()
    changed = list(_change_params(params, grown, paths))
    tables.update_params(changed)
    if changed or grown.keys() - {param.name for param in params}:
        added = list(_add_params(tables, params, grown, paths, space))
        tables.insert_params(added)
        if changed or added:
            tables.delete_cmaes_state()
    _update_enqueued(tables, space)


def _change_params(params: list[Param], grown: Grown, paths: StudyPaths) -> Iterator[Param]:
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
                f"{paths.database}: a trial has {param.name} = {value!r}, which is not an option of the space; "
                "give the original space, or another --out"
            ) from error


def _add_params(
    tables: StudyTables, params: list[Param], grown: Grown, paths: StudyPaths, space: Space
) -> Iterator[tuple[int, str, float, str]]:
    """New rows for parameters that trials have in this space, with the values that the trials were trained with."""
    known = {(param.trial_id, param.name) for param in params}
    for trial_id, number in tables.trial_numbers():
        config = paths.trial(number).config
        if not config.is_file():
            continue
        for name, value in space.trial.to_params(load_training(config).trial.model_dump()).items():
            if (trial_id, name) not in known:
                yield trial_id, name, grown[name].to_internal_repr(value), distribution_to_json(grown[name])


def _update_enqueued(tables: StudyTables, space: Space) -> None:
    """Update the fixed parameters of `search.first` trials that have not been drawn yet.

    Values of `search.first` that the original space could not draw, and this one can, become fixed parameters.
    """
    for row, fixed_params, first in tables.unfinished_fixed_params("fixed"):
        before: dict[str, Any] = json.loads(fixed_params)
        now = before | space.trial.to_params(json.loads(first))
        if now != before:
            tables.set_fixed_params(row, json.dumps(now))
