from pathlib import Path
from typing import Any

import pytest

from raysearch.errors import SpaceError
from raysearch.io import write_text, write_yaml
from raysearch.paths import StudyPaths
from raysearch.space import find_growth_faults, space_from
from raysearch.train.__main__ import command
from raysearch.tune.display.watches import DiskWatch


def values(**data: Any) -> dict[str, Any]:
    return {"study": "toy", "data": data, "trial": {}}


@pytest.mark.parametrize(("before", "after"), [(3, 4), (3, None), (None, 3)])
def test_folds_may_not_change_between_runs(before: int | None, after: int | None) -> None:
    (fault,) = find_growth_faults(*(space_from(values(folds=folds), "toy.yaml") for folds in (before, after)))
    was, now = ("null" if folds is None else str(folds) for folds in (before, after))
    assert fault == f"data.folds was {was} and is {now}: between runs this must not change"


def test_a_study_is_of_all_folds() -> None:
    with pytest.raises(SpaceError) as caught:
        space_from(values(folds=3, fold=1), "toy.yaml")
    assert caught.value.faults == [
        "toy.yaml: data.fold: must not be set, because a study trains all folds, got 1; remove it"
    ]


def test_a_single_training_is_told_to_name_its_fold(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    write_yaml(config, {"data": {"folds": 3}})
    with pytest.raises(SpaceError, match=r"data\.fold: must be set if data.folds is 3, got null; use --set "):
        command(config, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_fold_that_waits_for_disk_space_is_noted(tmp_path: Path) -> None:
    paths, notes = StudyPaths(tmp_path), []
    listener: Any = type("Listener", (), {"noted": staticmethod(notes.append)})
    watch = DiskWatch(paths, listener)
    write_text(paths.trial(3).fold(1).paused, "waits")
    watch.check()
    (note,) = notes
    assert "training is paused (trial 3)" in note
