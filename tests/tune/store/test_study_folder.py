"""Making, opening and locking a study's folder."""

from pathlib import Path

import pytest

from raysearch.config import DataConfig
from raysearch.data.dataset import Dataset, open_dataset
from raysearch.errors import StudyError, UserError
from raysearch.paths import StudyPaths
from raysearch.space import Space, space_from
from raysearch.tune.planning.trial_budget import count_wanted_trials, read_trial_count
from raysearch.tune.store.migrate import migrate_study
from raysearch.tune.store.study import check_place, locked, open_storage, prepare

DATA = DataConfig(source="digits", train_per_class=2, held_out_per_class=2)
BACKBONES = {"choice": {"wrn_10_1": {}, "wrn_16_1": {}}}


def make_space(backbone: object = BACKBONES, **search: object) -> Space:
    resolved = {"study": "toy", "data": DATA.model_dump(), "search": search, "trial": {"backbone": backbone}}
    return space_from(resolved, "toy.yaml")


def make_ablation() -> Space:
    tables = {"t": {"title": "T", "rows": [{"name": "a"}]}}
    return space_from({"study": "toy", "data": DATA.model_dump(), "ablation": {"tables": tables}}, "toy.yaml")


@pytest.fixture
def paths(tmp_path: Path) -> StudyPaths:
    return StudyPaths(tmp_path / "runs?" / "toy")


@pytest.fixture
def dataset() -> Dataset:
    return open_dataset(DATA, 8)


@pytest.fixture
def made(paths: StudyPaths, dataset: Dataset) -> StudyPaths:
    prepare(paths, make_space(), dataset, dataset.counts)
    open_storage(paths, "toy", make_space().search)
    return paths


def test_the_same_space_may_be_resumed(made: StudyPaths) -> None:
    check_place(made, make_space(), resume=True)


def test_a_resume_may_change_trials_and_time_limit(made: StudyPaths) -> None:
    check_place(made, make_space(trials=50, timeout_s=10.0), resume=True)


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (
            make_space({"choice": {"wrn_10_1": {}, "wrn_16_2": {}}}),
            "trial.backbone was {choice: [wrn_10_1, wrn_16_1]} and is {choice: [wrn_10_1, wrn_16_2]}: between runs a "
            "choice may only gain options; give the original space and --set options, or another --out",
        ),
        (make_space("wrn_10_1"), "trial.backbone was {choice: [wrn_10_1, wrn_16_1]} and is wrn_10_1"),
        (make_space(objective="log_loss"), "search.objective was accuracy and is log_loss"),
        (make_ablation(), "the study was a search and is an ablation"),
    ],
)
def test_another_space_is_refused_with_the_difference(made: StudyPaths, space: Space, message: str) -> None:
    with pytest.raises(StudyError) as refused:
        check_place(made, space, resume=True)
    assert message in str(refused.value)


def test_a_grown_space_is_resumed_and_is_the_study_s_from_then_on(made: StudyPaths, dataset: Dataset) -> None:
    study = open_storage(made, "toy", make_space().search)
    make_space().trial.suggest(study.ask())
    grown = make_space({"choice": ["wrn_16_2", "wrn_16_1", "wrn_10_1"]}, trials=50, first=[{"backbone": "wrn_16_2"}])
    check_place(made, grown, resume=True)
    prepare(made, grown, dataset, dataset.counts)
    (trial,) = open_storage(made, "toy", grown.search).trials
    assert trial.distributions["backbone"].choices == ("wrn_16_2", "wrn_16_1", "wrn_10_1")
    assert read_trial_count(made) == 50
    check_place(made, grown, resume=True)
    with pytest.raises(StudyError, match=r"trial\.backbone was"):
        check_place(made, make_space(), resume=True)


def test_a_resume_killed_after_migration_continues_with_either_space(made: StudyPaths, dataset: Dataset) -> None:
    make_space().trial.suggest(open_storage(made, "toy", make_space().search).ask())
    grown = make_space({"choice": ["wrn_16_2", "wrn_10_1", "wrn_16_1"]})
    migrate_study(made, grown)
    for space in (make_space(), grown, grown):
        check_place(made, space, resume=True)
        prepare(made, space, dataset, dataset.counts)
        study = open_storage(made, "toy", space.search)
        space.trial.suggest(study.ask())
        assert len({trial.distributions["backbone"] for trial in study.trials}) == 1


def test_resuming_with_the_same_space_changes_no_files(made: StudyPaths, dataset: Dataset) -> None:
    before = made.study.stat().st_mtime_ns, made.database.read_bytes()
    prepare(made, make_space(), dataset, dataset.counts)
    assert (made.study.stat().st_mtime_ns, made.database.read_bytes()) == before


@pytest.mark.parametrize(
    ("asked", "stored", "from_space", "wanted"),
    [
        ("12", None, 8, 12),
        ("12", 30, 8, 12),
        ("+20", 30, 8, 50),
        (None, None, 8, 8),
        (None, 30, 8, 30),
        (None, 8, 30, 30),
    ],
)
def test_the_number_of_trials_comes_from_the_option_the_study_and_the_space(
    asked: str | None, stored: int | None, from_space: int, wanted: int
) -> None:
    assert count_wanted_trials(asked, stored, from_space) == wanted


@pytest.mark.parametrize("asked", ["", "0", "+0", "+", "-1", "++2", "2.5", "1e2", " 3", "3\n", "many", "\u0663"])
def test_an_invalid_number_of_trials_is_refused_with_the_value(asked: str) -> None:
    with pytest.raises(UserError) as refused:
        count_wanted_trials(asked, 8, 8)
    assert str(refused.value) == f"--trials: expected N or +N, a whole number from 1, got {asked!r}"


def test_more_trials_are_refused_without_a_study() -> None:
    with pytest.raises(UserError, match=r"--trials \+20: only with --resume, for an existing study; else give 20"):
        count_wanted_trials("+20", None, 8)


def test_other_data_is_refused(made: StudyPaths) -> None:
    other = open_dataset(DATA.model_copy(update={"seed": 1}), 8)
    with pytest.raises(StudyError, match="was made with other data"):
        prepare(made, make_space(), other, other.counts)


@pytest.mark.parametrize("content", ["", "[]", "study: toy", "study: toy\nspace: {}\ndata: {}\n", "a: b: c"])
def test_a_damaged_study_file_is_named(made: StudyPaths, content: str) -> None:
    made.study.write_text(content)
    with pytest.raises(ValueError, match=r"study\.yaml: ") as refused:
        check_place(made, make_space(), resume=True)
    assert hasattr(refused.value, "faults"), "a user's error, not a traceback"


def test_a_lost_database_beside_trials_is_refused(made: StudyPaths) -> None:
    made.trial(0).root.mkdir(parents=True)
    made.database.unlink()
    with pytest.raises(StudyError, match=r"study\.db: is missing, but there are trials"):
        check_place(made, make_space(), resume=True)


def test_a_damaged_database_is_named(made: StudyPaths) -> None:
    made.database.write_bytes(b"not a database" * 100)
    with pytest.raises(StudyError, match=r"study\.db: not a study's database"):
        open_storage(made, "toy", make_space().search)


def test_a_file_where_the_folder_should_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(StudyError, match="is a file, not a folder"):
        check_place(StudyPaths(tmp_path / "runs" / "toy"), make_space(), resume=False)


def test_a_folder_of_other_files_is_refused(paths: StudyPaths) -> None:
    paths.root.mkdir(parents=True)
    (paths.root / "mine.txt").write_text("")
    with pytest.raises(StudyError, match="is not empty and holds no study"):
        check_place(paths, make_space(), resume=False)


def test_a_second_search_on_a_study_is_refused_with_the_first_one_s_process(paths: StudyPaths) -> None:
    refused = pytest.raises(StudyError, match=r"a search is running on it \(process \d+ on ")
    with locked(paths), refused, locked(paths):
        pass
    with locked(paths):
        pass
