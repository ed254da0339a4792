"""`data.folds_trained`: a trial trains only some of its folds."""

from pathlib import Path

import pytest
from in_process import tune

from raysearch.config import DataConfig
from raysearch.ensemble.build import build_ensemble
from raysearch.ensemble.recipe import Recipe
from raysearch.ensemble.results import write_ensemble
from raysearch.export.write import export_set
from raysearch.io import read_json, write_yaml
from raysearch.paths import StudyPaths

SPACE = {
    "study": "part",
    "data": {"source": "digits", "train_per_class": 4, "held_out_per_class": 4, "folds": 4, "folds_trained": 2},
    "search": {"trials": 1, "scheduler": "none"},
    "trial": {
        "backbone": "wrn_10_1",
        "image_size": 16,
        "epochs": 1,
        "batch_size": 20,
        "method": {"views": 1, "beta": 0},
        "augment": {"policy": "none", "crop_padding": 2},
        "optimizer": {"name": "sgd", "lr": 0.05},
    },
}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory, shared_ray: str) -> StudyPaths:
    folder = tmp_path_factory.mktemp("folds")
    write_yaml(folder / "part.yaml", SPACE)
    result = tune(folder / "part.yaml", "--out", folder / "runs", "--quiet")
    assert result.exit_code == 0, result.output
    return StudyPaths(folder / "runs" / "part")


def test_only_these_folds_are_trained_and_scored(study: StudyPaths) -> None:
    assert [path.root.name for path in study.trial(0).trainings] == ["0", "1"]
    ensemble = build_ensemble(study, Recipe())
    assert ensemble.n == 40  # two of four folds of 80 images


def test_its_set_holds_these_networks_and_is_verified(study: StudyPaths, tmp_path: Path) -> None:
    ensemble = build_ensemble(study, Recipe(method="uniform", name="uniform", best_n=1))
    write_ensemble(study.ensemble("uniform"), ensemble)
    manifest, check = export_set(study, "uniform", tmp_path / "set")
    assert [model.fold for model in manifest.members[0].models] == [0, 1]
    assert check.n == 40
    assert check.max_difference < 1e-6
    assert read_json(study.trial(0).result)["folds"] == 2


@pytest.mark.parametrize("trained", [1, 5])
def test_every_image_must_teach_some_network(trained: int) -> None:
    with pytest.raises(ValueError, match="folds_trained must be from 2 to folds"):
        DataConfig(folds=4, folds_trained=trained)


def test_it_needs_folds() -> None:
    with pytest.raises(ValueError, match="got folds_trained 2 and folds None"):
        DataConfig(folds_trained=2)
