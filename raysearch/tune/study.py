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

from raysearch.data import Dataset
from raysearch.errors import StudyError
from raysearch.io import read_yaml, write_yaml
from raysearch.paths import StudyPaths
from raysearch.space import SearchConfig, Space

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


def check_place(paths: StudyPaths, resume: bool) -> None:
    """Raises `StudyError`: a study or other files in the way, or none to resume."""
    if resume:
        paths.require()
    elif paths.study.exists():
        raise StudyError(
            f"{paths.root}: already holds a study; go on with it by --resume, or give another --out "
            "or another name by --set study=NAME"
        )
    elif paths.root.is_dir() and any(paths.root.iterdir()):
        raise StudyError(f"{paths.root}: is not empty and holds no study; give another --out")


def prepare(paths: StudyPaths, space: Space, dataset: Dataset, counts: Mapping[str, int]) -> None:
    """Describe the search in `study.yaml`, or check that the one there is this very search.

    Raises `StudyError` for a study of other data or of another space.
    """
    if not paths.study.exists():
        write_yaml(paths.study, _description(space, dataset, counts))
        return
    stored = read_yaml(paths.study)
    if stored["data"]["fingerprint"] != dataset.fingerprint:
        raise StudyError(
            f"{paths.root}: was made with other data (fingerprint {stored['data']['fingerprint'][:12]}, "
            f"{space.data.source} now has {str(dataset.fingerprint)[:12]}); give the same --data, or another --out"
        )
    if differences := _differences(stored["space"], space.resolved):
        raise StudyError(
            [f"{paths.root}: {d}; resume with the space as it was, or give another --out" for d in differences]
        )


def _description(space: Space, dataset: Dataset, counts: Mapping[str, int]) -> dict[str, Any]:
    versions = {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in PACKAGES}
    return {
        "study": space.study,
        "space": space.resolved,
        "versions": versions,
        "commit": _commit(),
        "data": {"fingerprint": dataset.fingerprint, "classes": list(dataset.classes), "counts": dict(counts)},
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


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
    leaves = dict(_leaves(resolved["trial"], "trial"))
    leaves["search.objective"] = resolved["search"]["objective"]
    return leaves


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, f"{path}.{key}")
    else:
        yield path, value


def open_storage(paths: StudyPaths, name: str, search: SearchConfig) -> optuna.Study:
    """The Optuna study in `study.db`, made if it is not there. `optuna-dashboard` opens the same file."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(
        storage=f"sqlite:///{paths.database}",
        study_name=name,
        direction="maximize" if search.objective == "accuracy" else "minimize",
        sampler=SAMPLERS[search.sampler](search.seed),
        load_if_exists=True,
    )


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
            paths.lock.unlink(missing_ok=True)
