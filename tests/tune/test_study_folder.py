"""Making, opening and locking a study's folder."""

from pathlib import Path

import pytest

from raysearch.config import DataConfig
from raysearch.data import Dataset, open_dataset
from raysearch.errors import StudyError
from raysearch.paths import StudyPaths
from raysearch.space import Space, space_from
from raysearch.tune.study import check_place, locked, open_storage, prepare

DATA = DataConfig(source="digits", train_per_class=2, held_out_per_class=2)
BACKBONES = {"choice": {"wrn_10_1": {}, "wrn_16_1": {}}}


def make_space(backbone: object = BACKBONES, **search: object) -> Space:
    resolved = {"study": "toy", "data": DATA.model_dump(), "search": search, "trial": {"backbone": backbone}}
    return space_from(resolved, "toy.yaml")


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


def test_more_trials_and_time_are_no_other_space(made: StudyPaths) -> None:
    check_place(made, make_space(trials=50, timeout_s=10.0), resume=True)


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (make_space({"choice": {"wrn_10_1": {}, "wrn_16_2": {}}}), "trial.backbone.choice.wrn_16_1 was {} and is None"),
        (make_space("wrn_10_1"), "trial.backbone was None and is 'wrn_10_1'"),
        (make_space(objective="log_loss"), "search.objective was 'accuracy' and is 'log_loss'"),
        (make_space(first=[{"backbone": "wrn_10_1"}]), "search.first was"),
    ],
)
def test_another_space_is_refused_with_the_difference(made: StudyPaths, space: Space, message: str) -> None:
    with pytest.raises(StudyError) as refused:
        check_place(made, space, resume=True)
    assert message in str(refused.value)


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
