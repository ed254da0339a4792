"""A real search with folds, as a user starts it, and what is made of its predictions."""

import numpy as np
import pytest
from in_process import tune

from raysearch.config import TrainingConfig
from raysearch.data.dataset import open_dataset
from raysearch.ensemble.build import build_ensemble
from raysearch.ensemble.library import is_dropped
from raysearch.ensemble.recipe import Recipe
from raysearch.io import read_json, read_yaml, sha256
from raysearch.paths import StudyPaths
from raysearch.predictions import joint_sha256, read_predictions
from raysearch.report.page import write_report
from raysearch.report.reading import read_study
from raysearch.tune.store.gain import compute_gain

SPACE = """
study: toy
data: {source: digits, train_per_class: 4, held_out_per_class: 2, folds: 3}
resources: {concurrency: 1}
search: {trials: 2, scheduler: none, objective: ensemble_gain, checkpoints_gb: 0.003}
trial:
  backbone: wrn_10_1
  image_size: 16
  epochs: 2
  batch_size: 20
  augment: {policy: none, hflip: 0}
  method: {alpha: {loguniform: [0.01, 1.0]}}
  optimizer: {name: sgd, lr: 0.05}
"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory, shared_ray: str) -> StudyPaths:
    folder = tmp_path_factory.mktemp("folds")
    (folder / "toy.yaml").write_text(SPACE)
    done = tune(folder / "toy.yaml", "--out", folder / "runs")
    assert done.exit_code == 0, done.output
    assert done.stderr == ""
    assert "trial   0 started   wrn_10_1, 3 folds of 2 epochs" in done.stdout
    return StudyPaths(folder / "runs" / "toy")


def test_out_of_fold_predictions_are_of_every_labelled_image_by_the_fold_that_held_it_out(study: StudyPaths) -> None:
    assert [number for number, _ in study.trials()] == [0, 1]
    for _, trial in study.trials():
        whole = read_predictions(trial.predictions("student-final"))
        row_of = {sample_id: row for row, sample_id in enumerate(whole.sample_ids)}
        assert len(row_of) == len(whole.sample_ids) == 60
        for fold, training in enumerate(trial.trainings):
            config = TrainingConfig.model_validate(read_yaml(training.config))
            dataset = open_dataset(config.data, 16)
            own = read_predictions(training.predictions("student-final"))
            assert config.data.fold == fold
            assert own.sample_ids == dataset.splits["held_out"].sample_ids
            assert not set(own.sample_ids) & set(dataset.splits["train"].sample_ids)
            np.testing.assert_array_equal(own.probs, whole.probs[[row_of.pop(name) for name in own.sample_ids]])
        assert not row_of


def test_a_result_is_of_all_folds(study: StudyPaths) -> None:
    for number, trial in study.trials():
        result = read_json(trial.result)
        assert (result["state"], result["folds"], result["epochs_done"], result["epochs"]) == ("COMPLETE", 3, 6, 6)
        whole = read_predictions(trial.predictions(f"{result['role']}-final"))
        log_loss = -np.log(whole.probs[np.arange(60), whole.labels]).mean()
        assert result["value"] == pytest.approx(log_loss, abs=1e-6)
        assert number == 0 or result["ensemble_gain"] == pytest.approx(compute_gain(study, number))


def test_weights_are_dropped_in_all_folds_or_in_none(study: StudyPaths) -> None:
    dropped = []
    for number, trial in study.trials():
        for role in ("student", "teacher"):
            kept = [fold.weights(role) for fold in trial.trainings if fold.weights(role).is_file()]
            assert len(kept) in (0, 3)
            assert is_dropped(trial, role) == (not kept)
            dropped += [] if kept else [(number, role)]
            whole = read_predictions(trial.predictions(f"{role}-final"))
            assert not kept or whole.weights_sha256 == joint_sha256([sha256(path) for path in kept])
    assert 0 < len(dropped) < 4


def test_an_ensemble_and_a_report_are_made_of_them(study: StudyPaths) -> None:
    ensemble = build_ensemble(study, Recipe(rounds=5, repeats=1, bootstrap=10, folds=2))
    assert ensemble.n == 60
    assert "toy" in write_report(read_study(study.root)).read_text()
