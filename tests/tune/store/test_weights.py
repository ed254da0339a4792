"""What the trials are worth together, and whose weights a budget keeps."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from raysearch.ensemble.library import is_dropped, load_library
from raysearch.ensemble.selection import score
from raysearch.io import read_json, sha256
from raysearch.paths import StudyPaths, TrialPaths
from raysearch.train.__main__ import command as train_command
from raysearch.tune.store.gain import compute_gain, estimate_ensemble, score_ensemble
from raysearch.tune.store.weights import drop_weights, rank_weights


@pytest.fixture
def study(small_study: StudyPaths, tmp_path: Path) -> StudyPaths:
    """A copy that may be changed."""
    shutil.copytree(small_study.root, tmp_path / "study", ignore=shutil.ignore_patterns("resume.pt"))
    return StudyPaths(tmp_path / "study")


def weights_of(study: StudyPaths) -> dict[tuple[int, str], int]:
    """Bytes of the weights that are there, by trial and role."""
    roles = [(number, role) for number, _ in study.trials() for role in ("student", "teacher")]
    paths = {(number, role): study.trial(number).weights(role) for number, role in roles}
    return {key: path.stat().st_size for key, path in paths.items() if path.is_file()}


def test_the_gain_is_the_decrease_of_the_ensemble_s_log_loss(study: StudyPaths) -> None:
    library = load_library(study)
    others = [candidate for candidate in library.candidates if candidate.trial_number != 1]
    expected = (
        score_ensemble(others, library.labels).log_loss - score_ensemble(library.candidates, library.labels).log_loss
    )
    assert compute_gain(study, 1) == pytest.approx(expected)


def test_the_first_trial_is_compared_with_a_uniform_guess(study: StudyPaths) -> None:
    for number in (1, 2):
        shutil.rmtree(study.trial(number).root)
    library = load_library(study)
    alone = score_ensemble(library.candidates, library.labels)
    assert compute_gain(study, 0) == pytest.approx(np.log(10) - alone.log_loss)


def test_a_copy_of_the_only_trial_gains_nothing(study: StudyPaths) -> None:
    for number in (1, 2):
        shutil.rmtree(study.trial(number).root)
    before = score_ensemble(load_library(study).candidates, load_library(study).labels)
    library = load_library(study)
    twice = score_ensemble([*library.candidates, *library.candidates], library.labels)
    assert twice.log_loss == pytest.approx(before.log_loss)


def test_the_estimate_is_cross_fitted(study: StudyPaths) -> None:
    now = estimate_ensemble(study)
    assert now.members >= 1
    library = load_library(study)
    assert now.accuracy <= score_ensemble(library.candidates, library.labels).accuracy + 0.05


def test_the_weights_of_all_folds_count_and_are_dropped_together(study: StudyPaths) -> None:
    trial = study.trial(1)
    for fold in range(2):
        shutil.copytree(trial.checkpoints, trial.fold(fold).checkpoints)
    shutil.rmtree(trial.checkpoints)
    everything = sum(path.stat().st_size for path in study.root.rglob("checkpoints/*"))
    assert len(list(drop_weights(study, everything - 1))) == 1
    list(drop_weights(study, 0))
    assert not list(study.root.rglob("*.safetensors"))
    assert is_dropped(trial, "student")
    assert is_dropped(trial, "teacher")


def test_weights_are_kept_by_their_value_until_they_fit(study: StudyPaths) -> None:
    order = rank_weights(study)
    assert sorted(order) == sorted(weights_of(study)), "each once"
    library = load_library(study)
    best = max(library.candidates, key=lambda candidate: score(candidate.probs, library.labels).rank)
    assert order[0] == (best.trial_number, best.view.split("-")[0])
    before = weights_of(study)
    budget = sum(before[key] for key in order[:3])
    dropped = list(drop_weights(study, budget))
    assert sorted(weights_of(study)) == sorted(order[:3])
    assert len(dropped) == 3
    for number, role in order[3:]:
        assert role in read_json(study.trial(number).result)["dropped"]
        assert study.trial(number).predictions(f"{role}-final").is_file()


def test_within_the_budget_nothing_is_dropped(study: StudyPaths) -> None:
    before = weights_of(study)
    assert list(drop_weights(study, sum(before.values()))) == []
    assert weights_of(study) == before


def test_checkpoints_of_running_trials_count_and_stay(study: StudyPaths) -> None:
    before, order = weights_of(study), rank_weights(study)
    live = study.trial(9)
    live.checkpoints.mkdir(parents=True)
    live.resume.write_bytes(b"x" * before[order[-1]])
    list(drop_weights(study, sum(before.values())))
    assert live.resume.is_file()
    assert sorted(weights_of(study)) == sorted(order[:-1])


def test_dropped_weights_can_be_trained_again_to_the_same_bytes(study: StudyPaths, tmp_path: Path) -> None:
    expected = {role: sha256(study.trial(0).weights(role)) for role in ("student", "teacher")}
    list(drop_weights(study, 0))
    assert weights_of(study) == {}
    train_command(str(study.trial(0).config), out=tmp_path / "again", threads=1)
    again = TrialPaths(tmp_path / "again")
    assert {role: sha256(again.weights(role)) for role in expected} == expected
