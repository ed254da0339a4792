"""`raysearch fit` on the embedded digits, and what it refuses."""

import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import raysearch
from raysearch.fit.__main__ import app
from raysearch.fit.clock import State, read_state
from raysearch.fit.fitting import FitOptions, _open_state
from raysearch.io import write_json
from raysearch.paths import FitPaths
from raysearch.space import load_space

MINUTES = 2.0


@dataclass(frozen=True)
class Fitted:
    paths: FitPaths
    seconds: float
    output: str


def run(*words: object) -> subprocess.CompletedProcess[str]:
    """The command in its own process: another test may have connected this one to Ray."""
    command = [sys.executable, "-m", "raysearch.fit", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    """The whole command, as a user runs it."""
    out = tmp_path_factory.mktemp("fit") / "it's a fit"
    began = time.monotonic()
    done = run("digits", "--minutes", MINUTES, "--out", out)
    assert done.returncode == 0, done.stdout + done.stderr
    return Fitted(FitPaths(out), time.monotonic() - began, done.stdout)


@pytest.mark.slow
def test_a_fit_ends_in_time_with_a_set_that_predicts(fitted: Fitted) -> None:
    assert fitted.seconds <= 1.02 * 60 * MINUTES + 2  # and the start of Python
    model = raysearch.load(fitted.paths.set)
    assert model.figures["cross_fitted"]["accuracy"] > 0.5
    probs = model.predict_proba([np.zeros((8, 8, 3), np.uint8)])
    assert probs.shape == (1, 10)
    assert fitted.paths.study.report.is_file()
    assert not fitted.paths.new_set.exists()


def test_it_says_what_it_trains_and_where_the_set_is(fitted: Fitted) -> None:
    assert "data     400 labelled images, 10 classes of 40" in fitted.output
    assert "folds: each network learns from" in fitted.output
    assert "(2 minutes)" in fitted.output
    assert f"verified set:  {fitted.paths.set}" in fitted.output


def test_every_decision_stands_in_a_space_that_a_search_takes(fitted: Fitted) -> None:
    space = load_space(fitted.paths.space)
    assert space.data.folds
    assert space.resolved["trial"]["augment"]["hflip"] == 0  # a mirrored digit is not a digit
    assert space.search.trials == len(space.search.first) == len(list(fitted.paths.study.trials()))
    assert all({"epochs", "time_limit_s"} <= entry.keys() for entry in space.search.first)


def test_the_spent_time_is_stored(fitted: Fitted) -> None:
    state = read_state(fitted.paths.state)
    assert state.minutes == MINUTES
    assert 0.5 * fitted.seconds < state.spent_s <= fitted.seconds


def refused(*words: object) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    return result.stderr


def test_mistakes_in_the_options_are_named(tmp_path: Path) -> None:
    out = ["--out", tmp_path / "fit"]
    assert "no source given" in refused("--minutes", 5)
    assert "--minutes: must be given" in refused("digits", *out)
    assert "expected a number of minutes above 0, or +N with --resume, got 'soon'" in refused(
        "digits", "--minutes", "soon", *out
    )
    assert "got '0'" in refused("digits", "--minutes", "0", *out)
    assert "--minutes +5: only with --resume, for an existing fit; else give 5" in refused(
        "digits", "--minutes", "+5", *out
    )
    assert "no fit to resume" in refused("--resume", *out)
    assert "s3://bucket/fit" in refused("digits", "--minutes", 5, "--out", "s3://bucket/fit")
    assert not (tmp_path / "fit").exists()


def test_a_folder_that_is_in_use_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "is a file, not a folder" in refused("digits", "--minutes", 5, "--out", tmp_path / "file")
    assert "is not empty and holds no fit" in refused("digits", "--minutes", 5, "--out", tmp_path)
    paths = FitPaths(tmp_path / "fit")
    write_json(paths.state, State(source="digits", minutes=5).model_dump())
    assert "already holds a fit; continue it with --resume" in refused("digits", "--minutes", 5, "--out", paths.root)
    other = refused("other", "--resume", "--out", paths.root)
    assert "has the source digits; give another --out" in other
    assert "has the default; give another --out" in refused("--resume", "--division", "refit", "--out", paths.root)


def test_a_resumed_fit_keeps_its_budget_or_gets_more(tmp_path: Path) -> None:
    paths = FitPaths(tmp_path)
    write_json(paths.state, State(source="digits", minutes=5, spent_s=240).model_dump())
    minutes = {
        text: _open_state(paths, None, FitOptions(tmp_path, text, resume=True)).minutes for text in (None, "+30", "12")
    }
    assert minutes == {None: 5, "+30": 35, "12": 12}


def pictures(folder: Path, classes: int, per_class: int) -> Path:
    rng = np.random.default_rng(0)
    for name in range(classes):
        (folder / f"class {name}").mkdir(parents=True)
        for index in range(per_class):
            pixels = rng.integers(256, size=(12 + 9 * index, 20, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"class {name}" / f"{index}.png")
    return folder


def test_one_class_is_refused(tmp_path: Path) -> None:
    source = pictures(tmp_path / "source", 1, 5)
    done = run(source, "--minutes", 5, "--out", tmp_path / "fit")
    assert (done.returncode, done.stdout) == (2, "")
    assert "at least two classes are needed, got only 'class 0'" in done.stderr


def test_one_image_per_class_is_refused(tmp_path: Path) -> None:
    source = pictures(tmp_path / "source", 3, 1)
    error = refused(source, "--minutes", 5, "--out", tmp_path / "fit")
    assert "class 'class 0': needs 1 train and 1 held_out images, got 1" in error


def test_three_images_per_class_of_any_size_are_planned_and_nothing_is_written(tmp_path: Path) -> None:
    source = pictures(tmp_path / "source", 3, 3)
    done = run(source, "--minutes", 5, "--plan", "--out", tmp_path / "fit")
    assert done.returncode == 0, done.stderr
    assert "9 labelled images, 3 classes of 3" in done.stdout
    assert "3 folds: each network learns from 6 images" in done.stdout
    assert not (tmp_path / "fit").exists()


def test_a_budget_that_is_too_small_says_what_the_least_is(tmp_path: Path) -> None:
    done = run("digits", "--minutes", 0.3, "--out", tmp_path / "fit")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--minutes 0.3: too small: this data on this machine needs at least" in done.stderr
    assert not (tmp_path / "fit").exists()
