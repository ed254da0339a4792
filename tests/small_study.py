"""A small real study, a checkpoint set of it, and small sources: fixtures for the tests of export, predict, evaluate.

Their conftest files import the fixtures; what takes time is made once a session.
"""

import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import typer
from PIL import Image
from sklearn.datasets import load_digits
from typer.testing import CliRunner

from raysearch.config import TrainingConfig
from raysearch.data.dataset import Dataset
from raysearch.ensemble.build import build_ensemble
from raysearch.ensemble.recipe import Recipe
from raysearch.ensemble.results import Ensemble, Member, write_ensemble
from raysearch.ensemble.selection import score
from raysearch.export import check, write
from raysearch.export.__main__ import command as export_command
from raysearch.io import write_yaml
from raysearch.paths import StudyPaths
from raysearch.predictions import read_predictions
from raysearch.train.loop import train
from raysearch.train.result import write_result
from raysearch.train.stage import open_training_data

DATA = {"source": "digits", "train_per_class": 6, "held_out_per_class": 4, "seed": 3}
TRIALS = (
    {"backbone": "wrn_10_1", "image_size": 16, "seed": 0},
    {"backbone": "resnet10t", "image_size": 32, "method": {"aux_weight": 0.0, "beta": 0.0, "views": 1}},
    {"backbone": "resnet10_small", "image_size": 32, "seed": 1},
)
MIXED = (
    (0, "teacher-fused", 0.5),
    (0, "teacher-final", 0.25),
    (1, "student-final", 0.125),
    (2, "student-fused", 0.125),
)
"""An ensemble of two views of the same weights, two image sizes, and a trial without an auxiliary head."""
PARQUET_IMAGES = 60


class _Silent:
    def report(self, metrics: Mapping[str, Any]) -> None:
        pass

    def should_stop(self) -> bool:
        return False


@pytest.fixture(scope="session")
def small_study(tmp_path_factory: pytest.TempPathFactory) -> StudyPaths:
    """Three trainings of an epoch, and the ensembles `greedy` (selected) and `mixed` (`MIXED`)."""
    return _small_study(tmp_path_factory.getbasetemp() / "small")


@pytest.fixture(scope="session")
def small_set(small_study: StudyPaths) -> Path:
    """The ensemble `mixed` as a checkpoint set; tests that change it take a copy."""
    return export_mixed(small_study)[0]


@pytest.fixture(scope="session")
def export_output(small_study: StudyPaths) -> str:
    """What the command printed when it wrote `small_set`."""
    return export_mixed(small_study)[1]


@pytest.fixture(scope="session")
def write_parquet() -> Callable[..., Path]:
    """Writes one split of a Parquet source: those of the first digits that are of the given classes."""
    return _write_parquet


@cache
def _small_study(folder: Path) -> StudyPaths:
    return write_study(folder, TRIALS, MIXED)


def write_study(
    folder: Path, trials: Sequence[Mapping[str, Any]], mixed: Sequence[tuple[int, str, float]]
) -> StudyPaths:
    """A training of an epoch for each of ``trials``, and the ensembles `greedy` and `mixed`."""
    torch.set_num_threads(1)
    study = StudyPaths(folder / "it's a [study]")
    for number, trial in enumerate(trials):
        dataset = train_small(study, number, trial, DATA)
    write_small_study_file(study, DATA, dataset)
    greedy = build_ensemble(study, Recipe(rounds=5, repeats=1, bootstrap=10, folds=2))
    write_ensemble(study.ensemble(greedy.name), greedy)
    write_members(study, greedy, mixed)
    return study


def write_small_study_file(study: StudyPaths, data: Mapping[str, Any], dataset: Dataset) -> None:
    """`study.yaml`, of a search of the space ``data`` that was opened as ``dataset``."""
    facts = {"fingerprint": dataset.fingerprint, "classes": list(dataset.classes), "counts": dataset.counts}
    content = {"study": "small", "space": {"data": dict(data)}, "data": facts, "created": "2026-01-01"}
    write_yaml(study.study, content)


def write_members(study: StudyPaths, ensemble: Ensemble, mixed: Sequence[tuple[int, str, float]]) -> None:
    """The ensemble `mixed`: ``ensemble``, but of these members (trial, view, weight)."""
    members = [
        Member(trial, view, weight, stored.weights_sha256, score(stored.probs, stored.labels))
        for trial, view, weight in mixed
        for stored in [read_predictions(study.trial(trial).predictions(view))]
    ]
    write_ensemble(study.ensemble("mixed"), replace(ensemble, name="mixed", members=tuple(members)))


def train_small(study: StudyPaths, number: int, trial: Mapping[str, Any], data: Mapping[str, Any]) -> Dataset:
    """A training of an epoch as trial ``number``, and the data that it opened."""
    common = {"epochs": 1, "batch_size": 20, "precision": "float32", "augment": {"policy": "none"}}
    config = TrainingConfig.model_validate({"data": data, "trial": {**common, **trial}})
    dataset = open_training_data(config)
    train(config, dataset, study.trial(number), _Silent(), number)
    write_result(study.trial(number), number, "COMPLETE", "accuracy", 1, config.trial.backbone, {})
    return dataset


@cache
def export_mixed(study: StudyPaths, *options: str) -> tuple[Path, str]:
    """Runs the command for the ensemble `mixed`; the set's folder and what was printed."""
    app = typer.Typer()
    app.command()(export_command)
    out = study.root.parent / "sets" / "it's a #set"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")  # for the process that the command starts
        result = CliRunner().invoke(app, [str(study.root), "--ensemble", "mixed", "--out", str(out), *options])
    assert result.exit_code == 0, f"{result.output}\n{result.exception!r}"
    return out, result.output


@contextmanager
def checking_in_this_process() -> Iterator[None]:
    """Spares exports the process in which a set is checked: seconds each."""

    def in_this_process(
        set_dir: Path, study: StudyPaths, ensemble: str, source: str, refit: StudyPaths | None
    ) -> check.Check:
        return check.check_set(set_dir, write.read_selected(study, ensemble, source, refit))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(write, "check_in_fresh_process", in_this_process)
        yield


def _write_parquet(
    root: Path, stored_split: str, classes: Sequence[str], rename: Mapping[str, str] | None = None
) -> Path:
    scans = digit_scans()
    names = [str(target) for target in load_digits().target[:PARQUET_IMAGES]]
    rows = [(scans[row], name) for row, name in enumerate(names) if name in classes]
    images = [{"bytes": _png(scan), "path": f"{index}.png"} for index, (scan, _) in enumerate(rows)]
    table = pa.table({"image": images, "label": [classes.index(name) for _, name in rows]})
    label = {"_type": "ClassLabel", "names": [(rename or {}).get(name, name) for name in classes]}
    metadata = {"huggingface": json.dumps({"info": {"features": {"label": label}}})}
    root.mkdir(parents=True)
    pq.write_table(table.replace_schema_metadata(metadata), root / f"{stored_split}.parquet")
    return root


def digit_scans() -> np.ndarray:
    """uint8 [samples, 8, 8], in the rows' order"""
    return np.round(load_digits().images * (255 / 16)).astype(np.uint8)


def _png(scan: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(scan).save(buffer, "PNG")
    return buffer.getvalue()
