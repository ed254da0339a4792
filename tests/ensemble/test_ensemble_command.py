import json
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from raysearch.ensemble.results import read_ensemble
from raysearch.io import write_json, write_text


def ensemble(*arguments):
    """Run the command, as a user would."""
    return subprocess.run(
        [sys.executable, "-m", "raysearch.ensemble", *map(str, arguments)], capture_output=True, text=True
    )


def test_the_command_writes_the_ensemble_and_shows_members_and_both_figures(study, write_view):
    for number in range(3):
        write_view(number)
    done = ensemble(study.root)
    assert done.returncode == 0, done.stderr
    written = read_ensemble(study.ensemble("greedy"))
    for member in written.members:
        assert member.name in done.stdout
        assert f"{member.weight:.3f}" in done.stdout
    for part in (written.cross_fitted, written.in_sample, written.best_single.cross_fitted):
        assert f"{100 * part.accuracy:.1f} % ({part.log_loss:.3f})" in done.stdout
    assert f"{100 * written.gain.low:+.1f} to {100 * written.gain.high:+.1f}" in done.stdout
    assert str(study.ensemble("greedy")) in done.stdout.replace("\n", "")


def test_a_gain_that_may_be_none_recommends_the_single_model(study, write_view):
    write_view(4)
    done = ensemble(study.root)
    assert "The interval includes zero" in done.stdout
    assert "Recommended: the single model 0004-student-final, which is simpler." in done.stdout


def test_a_gain_that_is_certain_says_so(study, write_view):
    labels = np.arange(60) % 3
    for number in range(2):  # each is sure and right on its own half, and unsure and wrong on the other
        half = np.arange(60) % 2 == number
        right, wrong = np.eye(3)[labels], np.eye(3)[(labels + 1) % 3]
        probs = np.where(half[:, None], right, 0.4 * right + 0.6 * wrong).astype(np.float32)
        write_view(number, probs=probs)
    done = ensemble(study.root)
    assert "The interval is above zero: the ensemble is better." in done.stdout


def test_a_recipe_names_the_file_and_the_method(study, write_view, tmp_path):
    write_view(0)
    write_view(1)
    recipe = tmp_path / "mean.yaml"
    recipe.write_text("name: mean\nmethod: uniform\n")
    done = ensemble(study.root, "--recipe", recipe)
    assert done.returncode == 0, done.stderr
    assert [member.weight for member in read_ensemble(study.ensemble("mean")).members] == [0.5, 0.5]


def test_members_whose_weights_were_dropped_are_named(study, write_view):
    for number in range(3):
        write_view(number, "teacher-final")
    for number in (1, 2):
        write_json(study.trial(number).result, {"state": "PRUNED", "dropped": ["student", "teacher"]})
    write_text(study.trial(2).weights("teacher"), "brought back")
    (study.root.parent / "mean.yaml").write_text("method: uniform\n")
    done = ensemble(study.root, "--recipe", study.root.parent / "mean.yaml")
    marked = [line.split() for line in done.stdout.splitlines() if line.split()[-2:-1] == ["dropped"]]
    assert [line[1] for line in marked] == ["0001-teacher-final"]
    assert "to stay within search.checkpoints_gb: 0001-teacher-final. `raysearch export` shows" in done.stdout


def test_of_members_that_have_their_weights_nothing_is_said(study, write_view):
    write_view(0, "teacher-final")
    write_json(study.trial(0).result, {"state": "COMPLETE", "dropped": ["student"]})
    done = ensemble(study.root)
    assert done.returncode == 0
    assert "dropped" not in done.stdout
    assert "Weights removed" not in done.stdout


def test_a_folder_that_is_no_study_ends_with_one_line_and_code_2(tmp_path):
    done = ensemble(tmp_path)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "not a study" in done.stderr
    assert done.stdout == ""


def test_a_refused_file_leaves_nothing_written(study, write_view):
    write_view(0, split="test")
    assert ensemble(study.root).returncode == 2
    assert not study.ensembles.exists()


def test_a_plain_mean_that_is_ahead_is_recommended_where_the_selection_is_not_sure(study, write_view):
    rng = np.random.default_rng(1)
    labels = np.arange(60) % 3
    for number in range(12):  # all alike: which of them the selection likes is chance
        logits = rng.normal(size=(60, 3)) + 0.7 * np.eye(3)[labels]
        write_view(number, probs=(np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)).astype(np.float32))
    recipe = study.root.parent / "few.yaml"
    recipe.write_text("name: few\nrounds: 1\nbest_n: 12\n")  # one pick: as good as the best single, for sure
    done = ensemble(study.root, "--recipe", recipe)
    assert read_ensemble(study.ensemble("few")).recommended == "uniform"
    assert "The interval includes zero" in done.stdout
    assert "Recommended: the plain mean of the best 12 (method: uniform)" in done.stdout


def test_added_predictions_become_members_and_the_output_says_that_they_cannot_be_exported(study, write_view, tmp_path):
    write_view(0, strength=0.5)
    ids = [f"{i:03d}" for i in range(60)]
    probs = {
        f"prob_{name}": np.where(np.arange(60) % 3 == at, 0.8, 0.1) for at, name in enumerate(["cat", "dog", "emu"])
    }
    pyarrow.parquet.write_table(pa.table({"id": ids, **probs}), tmp_path / "other.parquet")
    done = ensemble(study.root, "--add", tmp_path / "other.parquet")
    assert done.returncode == 0, done.stderr
    assert "Added with --add: other.parquet. `raysearch export` cannot export these members." in done.stdout
    assert [member.trial for member in read_ensemble(study.ensemble("greedy")).members] == [None]


def test_trials_that_have_not_finished_are_counted_and_left_out(study, write_view):
    for number, state in enumerate(["COMPLETE", None, None, None]):
        write_view(number, state=state)
    done = ensemble(study.root)
    assert done.returncode == 0, done.stderr
    assert "Note: 3 trials (1, 2, 3) have not finished and are left out." in done.stdout


def test_the_written_file_can_be_had_as_json(study, write_view):
    write_view(0)
    done = ensemble(study.root, "--json")
    assert json.loads(done.stdout) == json.loads(study.ensemble("greedy").read_text())


@pytest.mark.parametrize("module", ["raysearch.ensemble", "raysearch.ensemble.__main__"])
def test_importing_it_loads_neither_torch_nor_ray(module):
    code = f"import {module}, sys; print(sorted({{'torch', 'ray', 'optuna', 'sklearn'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
