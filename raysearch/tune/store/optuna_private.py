"""All private parts of Optuna that raysearch uses, as read in Optuna 5.0. No other file uses one.

Optuna has no public way to write to a trial that another process created (after a restart, every trial), or to change
the distributions of stored trials when the space has grown. The first uses the study's storage object. The second edits
the tables of the SQLite file, whose layout is fixed by `SCHEMA_VERSION`.
"""

import sqlite3
from collections.abc import Iterable
from typing import NamedTuple

import optuna
from optuna.storages import BaseStorage

SCHEMA_VERSION = 12
"""`version_info.schema_version` of the database layout that the SQL statements here were written for."""
_OF_STUDY = "trial_id IN (SELECT trial_id FROM trials JOIN studies USING (study_id) WHERE study_name = ?)"


def get_storage(study: optuna.Study) -> BaseStorage:
    """The storage that holds the study's trials."""
    return study._storage


def get_trial_id(study: optuna.Study, number: int) -> int:
    """The storage's id of the trial with this number."""
    return get_storage(study).get_trial_id_from_study_id_trial_number(study._study_id, number)


class Param(NamedTuple):
    """A row of `trial_params`. ``value`` is Optuna's internal number for the value, ``distribution`` its JSON."""

    id: int
    trial_id: int
    name: str
    value: float
    distribution: str


class StudyTables:
    """The rows of one study in an open database. The caller owns the transaction."""

    def __init__(self, database: sqlite3.Connection, study_name: str) -> None:
        self._database, self._study = database, study_name

    def schema_version(self) -> int | None:
        """The version of the layout; None if Optuna has not created its tables yet."""
        if not self._database.execute("SELECT 1 FROM sqlite_master WHERE name = 'version_info'").fetchone():
            return None
        return int(self._database.execute("SELECT schema_version FROM version_info").fetchone()[0])

    def params(self) -> list[Param]:
        columns = "param_id, trial_id, param_name, param_value, distribution_json"
        rows = self._database.execute(f"SELECT {columns} FROM trial_params WHERE {_OF_STUDY}", (self._study,))
        return [Param(*row) for row in rows]

    def update_params(self, params: Iterable[Param]) -> None:
        self._database.executemany(
            "UPDATE trial_params SET param_value = ?, distribution_json = ? WHERE param_id = ?",
            [(param.value, param.distribution, param.id) for param in params],
        )

    def insert_params(self, rows: Iterable[tuple[int, str, float, str]]) -> None:
        """Each row holds the trial's id, the parameter's name, its internal value and its distribution as JSON."""
        columns = "trial_id, param_name, param_value, distribution_json"
        self._database.executemany(f"INSERT INTO trial_params ({columns}) VALUES (?, ?, ?, ?)", rows)

    def trial_numbers(self) -> list[tuple[int, int]]:
        """Id and number of every trial."""
        return self._database.execute(
            f"SELECT trial_id, number FROM trials WHERE {_OF_STUDY}", (self._study,)
        ).fetchall()

    def delete_cmaes_state(self) -> None:
        """Delete the state of the CMA-ES sampler, which then starts again. The state depends on the old ranges."""
        state = "DELETE FROM trial_system_attributes WHERE key LIKE 'cma%:%'"
        self._database.execute(f"{state} AND {_OF_STUDY}", (self._study,))

    def unfinished_fixed_params(self, user_attr: str) -> list[tuple[int, str, str]]:
        """For each enqueued trial that has not ended: row id and JSON of its `fixed_params`, JSON of ``user_attr``."""
        return self._database.execute(
            "SELECT asked.trial_system_attribute_id, asked.value_json, own.value_json FROM trials "
            "JOIN trial_system_attributes AS asked USING (trial_id) JOIN trial_user_attributes AS own USING (trial_id) "
            "WHERE state IN ('WAITING', 'RUNNING') AND asked.key = 'fixed_params' AND own.key = ? "
            f"AND {_OF_STUDY}",
            (user_attr, self._study),
        ).fetchall()

    def set_fixed_params(self, row: int, text: str) -> None:
        update = "UPDATE trial_system_attributes SET value_json = ? WHERE trial_system_attribute_id = ?"
        self._database.execute(update, (text, row))
