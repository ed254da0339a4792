"""The study folder: made, opened again, locked. Its Optuna storage and its trial folders are all its state."""

import fcntl
import importlib.metadata
import os
import platform
import socket
import subprocess
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import optuna
from sqlalchemy import URL
from sqlalchemy.exc import DatabaseError

from raysearch.data import Dataset
from raysearch.errors import StudyError
from raysearch.paths import StudyPaths
from raysearch.space import SearchConfig, Space
from raysearch.study_file import StudyData, StudyFile, StudySpace, read_study_file, write_study_file

PACKAGES = ("raysearch", "ray", "torch", "torchvision", "timm", "optuna", "pyarrow", "numpy")
STARTUP_TRIALS = 5
"""Trials drawn at random before TPE models anything; Optuna's 10 would use up a small search."""


def _tpe(seed: int) -> optuna.samplers.BaseSampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        # group: parameters of different options are modelled apart; constant_liar: running trials count.
        return optuna.samplers.TPESampler(
            seed=seed, n_startup_trials=STARTUP_TRIALS, multivariate=True, group=True, constant_liar=True
        )


SAMPLERS = {"tpe": _tpe, "random": lambda seed: optuna.samplers.RandomSampler(seed=seed)}


def check_place(paths: StudyPaths, space: Space, resume: bool) -> None:
    """Raises `StudyError`: a study or other files in the way; or none to resume, a damaged one, or another space's."""
    if resume:
        _check_same_space(paths, space)
    elif paths.study.exists():
        raise StudyError(
            f"{paths.root}: already holds a study; go on with it by --resume, or give another --out "
            "or another name by --set study=NAME"
        )
    elif blocking := next((path for path in (paths.root, *paths.root.parents) if path.is_file()), None):
        raise StudyError(f"{blocking}: is a file, not a folder; give another --out")
    elif paths.root.is_dir() and any(path != paths.lock for path in paths.root.iterdir()):
        raise StudyError(f"{paths.root}: is not empty and holds no study; give another --out")


def _check_same_space(paths: StudyPaths, space: Space) -> None:
    stored = read_study_file(paths)
    if differences := _differences(stored.space.model_dump(), space.resolved):
        raise StudyError(
            f"{paths.root}: {difference}; resume with the space as it was, or give another --out"
            for difference in differences
        )
    if not paths.database.is_file() and any(True for _ in paths.trials()):
        raise StudyError(f"{paths.database}: is missing, but there are trials; put it back, or give another --out")


def prepare(paths: StudyPaths, space: Space, dataset: Dataset, counts: Mapping[str, int | None]) -> None:
    """Describe the search in `study.yaml`, or check that the one there is of the same data; else `StudyError`."""
    if not paths.study.exists():
        write_study_file(paths, _description(space, dataset, counts))
        return
    known = read_study_file(paths)
    stored = known.data.fingerprint
    if stored != dataset.fingerprint:
        raise StudyError(
            f"{paths.root}: was made with other data (fingerprint {stored[:12]}, {space.data.source} now has "
            f"{str(dataset.fingerprint)[:12]}); give the same --data, or another --out"
        )
    if space.ablation:  # its tables and seeds may be others now: each training is known by its values, not by a row
        write_study_file(paths, known.model_copy(update={"space": StudySpace.model_validate(space.resolved)}))


def _description(space: Space, dataset: Dataset, counts: Mapping[str, int | None]) -> StudyFile:
    assert dataset.fingerprint is not None, "train and held_out were read"
    versions = {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in PACKAGES}
    return StudyFile(
        study=space.study,
        space=StudySpace.model_validate(space.resolved),
        versions=versions,
        commit=_commit(),
        data=StudyData(fingerprint=dataset.fingerprint, classes=list(dataset.classes), counts=dict(counts)),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _commit() -> str | None:
    """The git commit of this package's checkout, if it is one."""
    folder = Path(__file__).parent
    found = subprocess.run(["git", "-C", str(folder), "rev-parse", "HEAD"], capture_output=True, text=True)
    return found.stdout.strip() or None if found.returncode == 0 else None


def _differences(stored: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What changed in the parts that make earlier trials comparable with later ones."""
    before, after = _comparable(stored), _comparable(now)
    return [
        f"{path} was {before.get(path)!r} and is {after.get(path)!r}"
        for path in sorted(set(before) | set(after))
        if before.get(path) != after.get(path)
    ]


def _comparable(resolved: Mapping[str, Any]) -> dict[str, Any]:
    leaves = dict(_leaves(resolved.get("trial"), "trial"))
    for name in ("objective", "first"):
        leaves[f"search.{name}"] = resolved.get("search", {}).get(name)
    return leaves


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _leaves(inner, f"{path}.{key}")
    else:
        yield path, value


def open_storage(paths: StudyPaths, name: str, search: SearchConfig) -> optuna.Study:
    """The Optuna study in `study.db`, made if it is not there. `optuna-dashboard` opens the same file.

    Raises `StudyError` where the file is no such database.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study = optuna.create_study(
            storage=URL.create("sqlite", database=str(paths.database)).render_as_string(),
            study_name=name,
            direction="maximize" if search.objective == "accuracy" else "minimize",
            load_if_exists=True,
        )
    except DatabaseError as error:
        raise StudyError(f"{paths.database}: not a study's database ({error.orig})") from error
    # A resumed search must not draw again what the first part drew.
    study.sampler = SAMPLERS[search.sampler](search.seed + len(study.get_trials(deepcopy=False)))
    return study


@contextmanager
def locked(paths: StudyPaths) -> Iterator[None]:
    """Hold the study for this process; a second one is refused with the holder's process id and host."""
    paths.root.mkdir(parents=True, exist_ok=True)
    with paths.lock.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            raise StudyError(f"{paths.root}: a search is running on it ({file.read().strip()})") from error
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)  # the file stays: were it removed, two processes could each lock one of its name
