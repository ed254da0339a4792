"""The searcher on an ablation: just its trainings, with their seeds, once each; and a real run of one."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from in_process import tune
from optuna.trial import TrialState
from ray.tune.search import Searcher
from silent import Silent
from typer.testing import CliRunner

from raysearch.io import read_json, read_yaml
from raysearch.paths import StudyPaths
from raysearch.report.__main__ import app as report_app
from raysearch.space import Space, space_from
from raysearch.tune.on_ray.searcher import StudySearcher
from raysearch.tune.store.study import open_storage
from raysearch.tune.values import report_of

TABLES = {"t": {"title": "T", "rows": [{"name": "a"}, {"name": "b", "set": {"dropout": 0.5}}, {"name": "c"}]}}


def space_of(**ablation: Any) -> Space:
    values = {"tables": TABLES, "seeds": 2, **ablation}
    return space_from({"study": "toy", "ablation": values, "trial": {"epochs": 4, "seed": 10}}, "toy.yaml")


def make(root: Path, space: Space | None = None, concurrency: int = 1) -> StudySearcher:
    root.mkdir(exist_ok=True)
    space, paths = space or space_of(), StudyPaths(root)
    return StudySearcher(open_storage(paths, space.study, space.search), space, paths, concurrency, Silent())


def end(searcher: StudySearcher, trial_id: str, number: int, epoch: int = 4) -> None:
    """A trial's last look; after fewer than four epochs it was cut off."""
    views = {f"{role}-final": {"accuracy": 0.5, "log_loss": 1.0} for role in ("student", "teacher")}
    line = {"epoch": epoch, "seconds": 1.0, "lr": 0.1, "train": {"loss": 1.0}, "held_out": views}
    searcher.paths.trial(number).metrics.write_text(json.dumps(line) + "\n")
    searcher.on_trial_complete(trial_id, report_of(line, "accuracy", 4))


def run(searcher: StudySearcher, first: int = 0) -> list[tuple[int, float]]:
    """Trains whatever is proposed; seed and dropout of each training, in order."""
    trained = []
    for number in range(first, first + 20):
        if searcher.suggest(str(number)) == Searcher.FINISHED:
            return trained
        trial = read_yaml(searcher.paths.trial(number).config)["trial"]
        trained.append((trial["seed"], trial["dropout"]))
        end(searcher, str(number), number)
    raise AssertionError("it never finishes")


def test_each_training_runs_once_with_exactly_its_seed_one_seed_after_the_other(tmp_path: Path) -> None:
    searcher = make(tmp_path / "toy")
    assert run(searcher) == [(10, 0.3), (10, 0.5), (11, 0.3), (11, 0.5)]
    attrs = [trial.user_attrs for trial in searcher.stored.trials()]
    assert [attr["rows"] for attr in attrs[:2]] == [["t: a"], ["t: b", "t: c"]]
    assert [attr["fixed"] for attr in attrs[:2]] == [{"seed": 10}, {"dropout": 0.5, "seed": 10}]
    assert all(trial.params == {} for trial in searcher.stored.trials())


def test_resuming_a_whole_ablation_trains_nothing(tmp_path: Path) -> None:
    run(make(tmp_path / "toy"))
    assert run(make(tmp_path / "toy"), first=4) == []


def test_a_resumed_one_may_have_more_seeds_and_other_tables(tmp_path: Path) -> None:
    run(make(tmp_path / "toy"))
    assert run(make(tmp_path / "toy", space_of(seeds=3)), first=4) == [(12, 0.3), (12, 0.5)]
    more = {**TABLES, "u": {"title": "U", "rows": [{"name": "d"}, {"name": "e", "set": {"dropout": 0.1}}]}}
    assert run(make(tmp_path / "toy", space_of(tables=more)), first=6) == [(10, 0.1), (11, 0.1)]


def test_a_cut_off_training_is_trained_again_when_resumed_and_not_replaced_before(tmp_path: Path) -> None:
    searcher = make(tmp_path / "toy")
    searcher.suggest("0")
    end(searcher, "0", 0, epoch=2)
    assert run(searcher, first=1) == [(10, 0.5), (11, 0.3), (11, 0.5)]
    assert run(make(tmp_path / "toy"), first=4) == [(10, 0.3)]
    states = [trial.state for trial in searcher.stored.trials()]
    assert states == [TrialState.PRUNED, *[TrialState.COMPLETE] * 4]


def test_a_failed_training_too(tmp_path: Path) -> None:
    searcher = make(tmp_path / "toy")
    searcher.suggest("0")
    searcher.paths.trial(0).error.write_text("Diverged: the loss is nan\n")
    searcher.on_trial_complete("0", error=True)
    assert run(searcher, first=1) == [(10, 0.5), (11, 0.3), (11, 0.5)]
    assert run(make(tmp_path / "toy"), first=4) == [(10, 0.3)]


def test_a_training_whose_driver_died_before_its_first_checkpoint_begins_again_under_its_number(tmp_path: Path) -> None:
    make(tmp_path / "toy").suggest("0")
    assert run(make(tmp_path / "toy")) == [(10, 0.3), (10, 0.5), (11, 0.3), (11, 0.5)]


def test_one_that_has_a_checkpoint_goes_on_under_its_number(tmp_path: Path) -> None:
    first = make(tmp_path / "toy")
    first.suggest("0")
    first.paths.trial(0).resume.parent.mkdir()
    first.paths.trial(0).resume.write_bytes(b"a checkpoint")
    second = make(tmp_path / "toy")
    assert isinstance(suggested := second.suggest("0"), dict)
    assert suggested["number"] == 0
    end(second, "0", 0)
    assert run(second, first=1) == [(10, 0.5), (11, 0.3), (11, 0.5)]


FILE = """
study: toy
data: {source: digits, train_per_class: 5, held_out_per_class: 5}
ablation:
  seeds: 2
  only: [t]
  tables:
    t:
      title: Terms
      rows:
        - {name: plain, theirs: {AR: 58.77}}
        - {name: + aux, set: {method: {aux_weight: 0.4}}}
        - {name: fused, view: student-fused}
    u: {title: Others, rows: [{name: plain}]}
trial:
  backbone: wrn_10_1
  image_size: 16
  epochs: 3
  batch_size: 20
  augment: {policy: none, hflip: 0}
  method: {views: 1, alpha: 0, beta: 0, gamma: 0, aux_weight: 0}
"""


@pytest.mark.slow
def test_an_ablation_runs_resumes_with_more_seeds_and_is_reported(tmp_path: Path, shared_ray: str) -> None:
    (tmp_path / "toy.yaml").write_text(FILE)
    study = StudyPaths(tmp_path / "runs" / "toy")
    words = (tmp_path / "toy.yaml", "--out", tmp_path / "runs", "--concurrency", 1, "--set", "trial.epochs=2")
    assert f"Next: raysearch report {study.root}" in succeeded(tune(*words, "--set", "ablation.seeds=1"))
    succeeded(tune(*words, "--resume"))
    trained = [read_yaml(folder.config)["trial"] for _, folder in study.trials()]
    assert [(trial["seed"], trial["method"]["aux_weight"]) for trial in trained] == [
        (seed, weight) for seed in (0, 1) for weight in (0, 0.4)
    ]
    assert {trial["epochs"] for trial in trained} == {2}
    table = succeeded(CliRunner().invoke(report_app, [str(study.root)]))
    fused = [read_json(study.trial(number).result)["views"] for number in (1, 3)]
    assert all("student-fused" in views for views in fused)
    lines = [line for line in table.splitlines() if line.startswith("| ")]
    assert [line.split(" | ")[:2] for line in lines[2:]] == [
        ["| plain", "2"],
        ["| + aux", "2"],
        ["| fused (student-fused)", "2"],
    ]
    assert "58.77 (AR)" in lines[2]


def succeeded(result: Result) -> str:
    assert result.exit_code == 0, result.output
    return result.stdout
