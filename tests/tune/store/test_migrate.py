"""Stored trials in a space that has grown: what changes of them, what does not, and that every sampler goes on."""

import logging
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

from raysearch.config import TrainingConfig
from raysearch.errors import StudyError
from raysearch.io import write_yaml
from raysearch.paths import StudyPaths
from raysearch.space import Space, space_from
from raysearch.tune.store import migrate
from raysearch.tune.store.migrate import migrate_study
from raysearch.tune.store.study import open_storage

BEFORE = {
    "backbone": {"choice": {"wrn_10_1": {"optimizer": {"lr": {"uniform": [0.1, 0.2]}}}, "wrn_16_1": {}}},
    "epochs": {"int": [2, 5]},
    "method": {"alpha": {"loguniform": [0.01, 1.0]}},
}
AFTER = {
    "backbone": {
        "choice": {
            "wrn_16_1": {},
            "wrn_16_2": {"optimizer": {"lr": {"uniform": [0.3, 0.4]}}},
            "wrn_10_1": {"optimizer": {"lr": {"uniform": [0.1, 0.3]}}},
        }
    },
    "epochs": {"int": [1, 9]},
    "method": {"alpha": {"loguniform": [0.001, 1.0]}},
}
SAMPLERS = ["tpe", "gp", "cmaes", "random", "qmc"]


def space_of(trial: Mapping[str, Any], **search: Any) -> Space:
    return space_from({"study": "toy", "search": search, "trial": trial}, "toy.yaml")


@pytest.fixture
def paths(tmp_path: Path) -> StudyPaths:
    (tmp_path / "runs? of 100%").mkdir()
    return StudyPaths(tmp_path / "runs? of 100%")


def draw(paths: StudyPaths, study: optuna.Study, space: Space) -> optuna.Trial:
    """Ask for a trial and leave its config, as the searcher does."""
    trial = study.ask()
    config = space.trial.suggest(trial, trial.user_attrs.get("fixed", {}))
    write_yaml(paths.trial(trial.number).config, TrainingConfig(trial=config).model_dump())
    return trial


def search(paths: StudyPaths, space: Space, trials: int) -> list[FrozenTrial]:
    """``trials`` more trials, whose value is less the further they are from some optimum."""
    study = open_storage(paths, space.study, space.search)
    drawn = []
    for _ in range(trials):
        trial = draw(paths, study, space)
        study.tell(trial, -abs(trial.params.get("method.alpha", 0.5) - 0.5))
        drawn.append(trial.number)
    return [trial for trial in study.trials if trial.number in drawn]


def stored(paths: StudyPaths, study: str = "toy") -> list[FrozenTrial]:
    return open_storage(paths, study, space_of({}).search).trials


def facts(trial: FrozenTrial) -> dict[str, Any]:
    """All that a trial holds but its distributions."""
    return {key: value for key, value in vars(trial).items() if key != "_distributions"}


def of_every_state(paths: StudyPaths) -> None:
    """Trials that ended in every way, one that runs and one that waits."""
    space = space_of(BEFORE)
    study = open_storage(paths, "toy", space.search)
    study.set_user_attr("mine", "note")
    for state in (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL, TrialState.RUNNING):
        trial = draw(paths, study, space)
        trial.set_user_attr("role", "teacher")
        trial.report(0.25, 1)
        trial.report(float("inf"), 2)
        if state == TrialState.COMPLETE:
            study.tell(trial, 0.5)
        elif state != TrialState.RUNNING:
            study.tell(trial, state=state)
    fixed = {"epochs": 4}
    study.enqueue_trial(space.trial.to_params(fixed), user_attrs={"first": 0, "fixed": fixed})


def test_trials_have_the_grown_distributions_and_are_otherwise_as_they_were(paths: StudyPaths) -> None:
    of_every_state(paths)
    before = stored(paths)
    migrate_study(paths, space_of(AFTER))
    after = stored(paths)
    assert [facts(trial) for trial in after] == [facts(trial) for trial in before]
    assert open_storage(paths, "toy", space_of({}).search).user_attrs == {"mine": "note"}
    new = search(paths, space_of(AFTER, sampler="random"), 12)
    distributions = {name: kind for trial in new for name, kind in trial.distributions.items()}
    assert set(distributions) == {name for name, _ in space_of(AFTER).trial.parameters()}
    for trial in after[:4]:
        assert trial.distributions == {name: distributions[name] for name in trial.params}


@pytest.mark.parametrize("seed", range(3))
def test_an_option_keeps_its_value_at_another_place_in_the_list(paths: StudyPaths, seed: int) -> None:
    options, more = [None, 0.1, 0.05], [0.2, 0.05, None, 0.0, 0.1]
    search(paths, space_of({"drop_path_rate": {"choice": options}}, sampler="random", seed=seed), 6)
    before = [trial.params for trial in stored(paths)]
    migrate_study(paths, space_of({"drop_path_rate": {"choice": more}}))
    assert [trial.params for trial in stored(paths)] == before


def test_parameters_that_agree_are_not_changed(paths: StudyPaths) -> None:
    of_every_state(paths)
    before = paths.database.read_bytes()
    migrate_study(paths, space_of(BEFORE))
    assert paths.database.read_bytes() == before
    migrate_study(paths, space_of(AFTER))
    once = paths.database.read_bytes()
    assert once != before
    migrate_study(paths, space_of(AFTER))
    assert paths.database.read_bytes() == once
    assert [path.name for path in paths.root.iterdir() if path.name != "trials"] == [paths.database.name]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_continues_in_the_grown_space(
    paths: StudyPaths, sampler: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    if sampler == "cmaes":
        pytest.importorskip("cmaes")
    monkeypatch.setattr(logging.getLogger("optuna"), "propagate", True)
    before = search(paths, space_of(BEFORE, sampler=sampler), 8)
    grown = space_of(AFTER | {"dropout": {"uniform": [0.2, 0.4]}}, sampler=sampler)
    migrate_study(paths, grown)
    new = search(paths, grown, 3)
    assert [message for message in caplog.messages if "greenlet" not in message] == []
    assert [trial.number for trial in new] == [8, 9, 10]
    assert all("dropout" in trial.params for trial in new)
    for old, trial in zip(before, stored(paths), strict=False):
        assert trial.params | old.params == trial.params


def test_the_samplers_model_a_leaf_that_was_fixed_when_the_first_trials_were_drawn(paths: StudyPaths) -> None:
    alpha = {"method": BEFORE["method"]}
    search(paths, space_of(alpha, sampler="random"), 6)
    grown = space_of(alpha | {"dropout": {"uniform": [0.2, 0.4]}})
    migrate_study(paths, grown)
    trials = stored(paths)
    assert [trial.params["dropout"] for trial in trials] == [0.3] * 6, "its default"
    assert set(optuna.search_space.intersection_search_space(trials)) == {"method.alpha", "dropout"}


def test_a_fixed_leaf_that_options_now_draw_is_added_under_its_trial_s_option(paths: StudyPaths) -> None:
    search(paths, space_of({"backbone": {"choice": ["wrn_10_1", "wrn_16_1"]}}, sampler="random"), 6)
    options = {"wrn_10_1": {}, "wrn_16_1": {"dropout": {"uniform": [0.2, 0.4]}}}
    migrate_study(paths, space_of({"backbone": {"choice": options}}))
    trials = stored(paths)
    assert {trial.params["backbone"] for trial in trials} == {"wrn_10_1", "wrn_16_1"}
    for trial in trials:
        drawn = {"dropout[wrn_16_1]": 0.3} if trial.params["backbone"] == "wrn_16_1" else {}
        assert trial.params == {"backbone": trial.params["backbone"], **drawn}


def test_cma_es_starts_again_only_in_grown_ranges(paths: StudyPaths) -> None:
    pytest.importorskip("cmaes")
    space = space_of(BEFORE, sampler="cmaes")
    for _ in range(12):
        open_storage(paths, "toy", space.search).enqueue_trial({"backbone": "wrn_16_1"})
    search(paths, space, 12)

    def kept() -> set[str]:
        return {key for trial in stored(paths) for key in trial.system_attrs if key.startswith("cma")}

    before = kept()
    assert before
    migrate_study(paths, space)
    assert kept() == before, "an option that no trial has had yet is no growth"
    migrate_study(paths, space_of(AFTER))
    assert kept() == set()


def test_a_waiting_first_trial_gets_the_values_that_the_space_now_has(paths: StudyPaths) -> None:
    space = space_of({"method": {"alpha": {"loguniform": [0.1, 1.0]}}})
    fixed = {"method": {"alpha": 0.05}, "dropout": 0.25}
    study = open_storage(paths, "toy", space.search)
    study.enqueue_trial(space.trial.to_params(fixed), user_attrs={"first": 0, "fixed": fixed})
    grown = space_of({"method": {"alpha": {"loguniform": [0.01, 1.0]}}, "dropout": {"uniform": [0.2, 0.4]}})
    migrate_study(paths, grown)
    trial = draw(paths, open_storage(paths, "toy", grown.search), grown)
    assert trial.number == 0
    assert trial.params == {"method.alpha": 0.05, "dropout": 0.25}


def test_another_study_in_the_database_is_left_alone(paths: StudyPaths) -> None:
    search(paths, space_of(BEFORE), 2)
    other = open_storage(paths, "other", space_of(BEFORE).search)
    other.ask().suggest_int("epochs", 2, 5)
    migrate_study(paths, space_of(AFTER))
    distributions = [trial.distributions["epochs"] for study in ("toy", "other") for trial in stored(paths, study)]
    assert [(kind.low, kind.high) for kind in distributions] == [(1, 9), (1, 9), (2, 5)]


KILLED = """
import os, signal, sys
from pathlib import Path
from raysearch.paths import StudyPaths
from raysearch.space import space_from
from raysearch.tune.store import migrate

def killed(*_):
    os.kill(os.getpid(), signal.SIGKILL)

migrate._update_enqueued = killed  # all else is written by then, and not yet committed
paths = StudyPaths(Path(sys.argv[1]))
migrate.migrate_study(paths, space_from({"study": "toy", "trial": eval(sys.argv[2])}, "toy.yaml"))
"""


def test_a_killed_migration_changes_nothing_and_is_done_at_the_next_start(paths: StudyPaths) -> None:
    of_every_state(paths)
    before = [(facts(trial), trial.distributions) for trial in stored(paths)]
    killed = subprocess.run([sys.executable, "-c", KILLED, str(paths.root), repr(AFTER)], timeout=120)
    assert killed.returncode == -signal.SIGKILL
    assert [(facts(trial), trial.distributions) for trial in stored(paths)] == before
    migrate_study(paths, space_of(AFTER))
    assert stored(paths)[0].distributions["epochs"] == optuna.distributions.IntDistribution(1, 9)


def test_an_option_that_the_space_lacks_is_refused_and_nothing_is_changed(paths: StudyPaths) -> None:
    search(paths, space_of({"image_size": {"choice": [16]}}), 1)
    before = paths.database.read_bytes()
    with pytest.raises(
        StudyError, match=r"study\.db: a trial has image_size = 16, which is not an option of the space"
    ):
        migrate_study(paths, space_of({"image_size": {"choice": [24, 32]}}))
    assert paths.database.read_bytes() == before


def test_a_database_that_another_program_holds_is_refused(paths: StudyPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    search(paths, space_of(BEFORE), 1)
    monkeypatch.setattr(migrate, "WAIT_S", 0.05)
    other = sqlite3.connect(paths.database, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StudyError, match=r"study\.db: cannot be changed to the current space \(database is locked\)"):
        migrate_study(paths, space_of(AFTER))
    other.close()
    migrate_study(paths, space_of(AFTER))


@pytest.mark.parametrize(("content", "is_fine"), [(b"", True), (b"not a database" * 100, False)])
def test_an_empty_file_is_skipped_and_a_damaged_one_is_refused(
    paths: StudyPaths, content: bytes, is_fine: bool
) -> None:
    paths.database.write_bytes(content)
    if is_fine:
        migrate_study(paths, space_of(AFTER))
        assert stored(paths) == []
        return
    with pytest.raises(StudyError, match=r"study\.db: cannot be changed to the current space"):
        migrate_study(paths, space_of(AFTER))
