"""The study folder: made, opened again, locked. Its Optuna storage and its trial folders are all its state."""

import importlib.metadata
import platform
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import optuna
from sqlalchemy import URL
from sqlalchemy.exc import DatabaseError

from raysearch import io
from raysearch.data.dataset import Dataset
from raysearch.errors import StudyError
from raysearch.io import display_path
from raysearch.paths import StudyPaths
from raysearch.space import SearchConfig, Space, find_growth_faults, space_from
from raysearch.study_file import StudyData, StudyFile, StudySpace, read_study_file, write_study_file
from raysearch.tune.store.migrate import migrate_study
from raysearch.tune.store.sampler import build_sampler

PACKAGES = ("raysearch", "ray", "torch", "torchvision", "timm", "optuna", "pyarrow", "numpy")


BUSY_S = 60.0
"""Seconds to wait where somebody else, such as a dashboard, holds the database."""


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
    before = space_from(read_study_file(paths).space.model_dump(), display_path(paths.study))
    if faults := find_growth_faults(before, space):
        raise StudyError(f"{paths.root}: {fault}; give the space as it was, or another --out" for fault in faults)
    if not paths.database.is_file() and any(True for _ in paths.trials()):
        raise StudyError(f"{paths.database}: is missing, but there are trials; put it back, or give another --out")


def prepare(paths: StudyPaths, space: Space, dataset: Dataset, counts: Mapping[str, int | None]) -> None:
    """Describe the search in `study.yaml`, and bring the trials that are there to its space, which may have grown.

    Killed between the two, it has left a study that goes on with either space. Raises `StudyError`: made with other
    data.
    """
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
    if paths.database.is_file():
        migrate_study(paths, space)
    now = StudySpace.model_validate(space.resolved)
    if now != known.space:
        write_study_file(paths, known.model_copy(update={"space": now}))


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


def open_storage(paths: StudyPaths, name: str, search: SearchConfig) -> optuna.Study:
    """The Optuna study in `study.db`, made if it is not there. `optuna-dashboard` opens the same file.

    Raises `StudyError` where the file is no such database.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if not paths.database.is_file():
        with io.replacing(paths.database) as aside:  # a kill leaves no database without its tables
            _open(aside, name, search)
    try:
        study = _open(paths.database, name, search)
    except DatabaseError as error:
        raise StudyError(f"{paths.database}: not a study's database ({error.orig})") from error
    study.sampler = build_sampler(search, len(study.get_trials(deepcopy=False)))
    return study


def _open(database: Path, name: str, search: SearchConfig) -> optuna.Study:
    url = URL.create("sqlite", database=str(database)).render_as_string()
    return optuna.create_study(
        storage=optuna.storages.RDBStorage(url, engine_kwargs={"connect_args": {"timeout": BUSY_S}}),
        study_name=name,
        direction="maximize" if search.maximizes else "minimize",
        load_if_exists=True,
    )


@contextmanager
def locked(paths: StudyPaths) -> Iterator[None]:
    """Hold the study for this process; a second one is refused with the holder's process id and host."""
    with ExitStack() as stack:
        try:
            stack.enter_context(io.locked(paths.lock))
        except io.LockHeld as held:
            raise StudyError(f"{paths.root}: a search is running on it ({held}); end it first") from held
        yield
