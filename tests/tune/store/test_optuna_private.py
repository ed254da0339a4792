"""Optuna still has the private parts that `optuna_private` relies on."""

import sqlite3
from contextlib import closing
from pathlib import Path

import optuna
import pytest
from optuna.storages._rdb import models

from raysearch.errors import StudyError
from raysearch.paths import StudyPaths
from raysearch.space import space_from
from raysearch.tune.store.migrate import migrate_study
from raysearch.tune.store.optuna_private import SCHEMA_VERSION, StudyTables, get_storage, get_trial_id
from raysearch.tune.store.study import open_storage

READ_IN = "5.0."


def explain(what: str) -> str:
    return (
        f"Optuna {optuna.__version__} has another {what} than Optuna {READ_IN}*, in which "
        "raysearch/tune/store/optuna_private.py was read: compare the tables, adapt that file and pyproject.toml"
    )


@pytest.fixture
def paths(tmp_path: Path) -> StudyPaths:
    return StudyPaths(tmp_path)


def test_the_layout_of_the_database_is_the_one_that_was_read(paths: StudyPaths) -> None:
    assert optuna.__version__.startswith(READ_IN), explain("version")
    assert models.SCHEMA_VERSION == SCHEMA_VERSION, explain("layout of the database")
    space = space_from({"study": "toy"}, "toy.yaml")
    study = open_storage(paths, "toy", space.search)
    trial = study.ask()
    trial.suggest_float("dropout", 0, 1)
    with closing(sqlite3.connect(paths.database)) as database:
        tables = StudyTables(database, "toy")
        assert tables.schema_version() == SCHEMA_VERSION
        assert [(param.name, param.trial_id) for param in tables.params()] == [("dropout", trial._trial_id)]
        assert tables.trial_numbers() == [(trial._trial_id, 0)]


def test_a_study_s_storage_is_found(paths: StudyPaths) -> None:
    study = open_storage(paths, "toy", space_from({"study": "toy"}, "toy.yaml").search)
    trial = study.ask()
    assert get_trial_id(study, trial.number) == trial._trial_id, explain("way to its storage")
    assert get_storage(study).get_trial(trial._trial_id).number == trial.number


def test_a_database_of_another_layout_is_refused_and_left_alone(paths: StudyPaths) -> None:
    space = space_from({"study": "toy", "trial": {"dropout": {"uniform": [0, 0.5]}}}, "toy.yaml")
    open_storage(paths, "toy", space.search).ask().suggest_float("dropout", 0, 0.25)
    with closing(sqlite3.connect(paths.database)) as database, database:
        database.execute("UPDATE version_info SET schema_version = 13")
    before = paths.database.read_bytes()
    with pytest.raises(StudyError, match=r"study\.db: was written by another version of Optuna \(layout 13, expected"):
        migrate_study(paths, space)
    assert paths.database.read_bytes() == before
