"""The private parts of Optuna that raysearch relies on, as read in Optuna 5.0. No other file names one.

Two things have no public way: to write to a trial that this process has not asked for (after a restart, every trial),
and to change the distributions of stored trials when the space has grown. The first uses the study's storage object.
The second edits the tables of the SQLite file, whose layout is fixed by `SCHEMA_VERSION`.
"""

import sqlite3
from collections.abc import Iterable
from typing import NamedTuple

import optuna
from optuna.storages import BaseStorage

SCHEMA_VERSION = 12
"""`version_info.schema_version` of the database that these statements were written for."""
_OF_STUDY = "trial_id IN (SELECT trial_id FROM trials JOIN studies USING (study_id) WHERE study_name = ?)"


def storage_of(study: optuna.Study) -> BaseStorage:
    """The storage that holds the study's trials."""
    return study._storage


def stored_id(study: optuna.Study, number: int) -> int:
    """The storage's id of the trial with this number."""
    return storage_of(study).get_trial_id_from_study_id_trial_number(study._study_id, number)


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
        """The layout's version; None in a database that Optuna has not set up."""
        if not self._database.execute("SELECT 1 FROM sqlite_master WHERE name = 'version_info'").fetchone():
            return None
        return int(self._database.execute("SELECT schema_version FROM version_info").fetchone()[0])

    def params(self) -> list[Param]:
        columns = "param_id, trial_id, param_name, param_value, distribution_json"
        found = self._database.execute(f"SELECT {columns} FROM trial_params WHERE {_OF_STUDY}", (self._study,))
        return [Param(*row) for row in found]

    def update_params(self, params: Iterable[Param]) -> None:
        self._database.executemany(
            "UPDATE trial_params SET param_value = ?, distribution_json = ? WHERE param_id = ?",
            [(param.value, param.distribution, param.id) for param in params],
        )

    def insert_params(self, rows: Iterable[tuple[int, str, float, str]]) -> None:
        """Each row: the trial's id, the parameter's name, its internal value, its distribution as JSON."""
        columns = "trial_id, param_name, param_value, distribution_json"
        self._database.executemany(f"INSERT INTO trial_params ({columns}) VALUES (?, ?, ?, ?)", rows)

    def trial_numbers(self) -> list[tuple[int, int]]:
        """Id and number of every trial."""
        return self._database.execute(
            f"SELECT trial_id, number FROM trials WHERE {_OF_STUDY}", (self._study,)
        ).fetchall()

    def delete_cmaes_state(self) -> None:
        """CMA-ES stores its state in units of the ranges that it was made for. Without it, it starts again."""
        state = "DELETE FROM trial_system_attributes WHERE key LIKE 'cma%:%'"
        self._database.execute(f"{state} AND {_OF_STUDY}", (self._study,))

    def unfinished_fixed_params(self, user_attr: str) -> list[tuple[int, str, str]]:
        """Of enqueued trials that have not ended: row and JSON of their `fixed_params`, JSON of the user attribute."""
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
