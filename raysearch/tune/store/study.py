"""The study folder: check it, create it, open it again, lock it.

Its whole state is the Optuna storage and the trial folders.
"""

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
"""Packages whose versions are written to `study.yaml`"""
BUSY_S = 60.0
"""Seconds to wait while another program, such as a dashboard, locks the database."""


def check_place(paths: StudyPaths, space: Space, resume: bool) -> None:
    """Check that the study can be created or, with ``resume``, continued in its folder.

    Raises `StudyError` if a study or other files are in the way; with ``resume``, if there is no study, it is damaged,
    or it was made with another space.
    """
    if resume and not paths.root.exists():
        raise StudyError(f"{paths.root}: no study to resume; run without --resume, or give the --out of the first run")
    elif resume:
        _check_same_space(paths, space)
    elif paths.study.exists():
        raise StudyError(
            f"{paths.root}: already holds a study; continue it with --resume, or give another --out "
            "or another name with --set study=NAME"
        )
    elif blocking := next((path for path in (paths.root, *paths.root.parents) if path.is_file()), None):
        raise StudyError(f"{blocking}: is a file, not a folder; give another --out")
    elif paths.root.is_dir() and any(path != paths.lock for path in paths.root.iterdir()):
        raise StudyError(f"{paths.root}: is not empty and holds no study; give another --out")


def _check_same_space(paths: StudyPaths, space: Space) -> None:
    before = space_from(read_study_file(paths).space.model_dump(), display_path(paths.study))
    if faults := find_growth_faults(before, space):
        raise StudyError(
            f"{paths.root}: {fault}; give the original space and --set options, or another --out" for fault in faults
        )
    if not paths.database.is_file() and any(True for _ in paths.trials()):
        raise StudyError(f"{paths.database}: is missing, but there are trials; restore it, or give another --out")


def prepare(paths: StudyPaths, space: Space, dataset: Dataset, counts: Mapping[str, int | None]) -> None:
    """Write `study.yaml` and, for a resumed study, migrate its trials to ``space``, which may have grown.

    Trials are migrated first. If the process is killed between the two, the study resumes with either space.
    ``counts`` are the images of each split. Raises `StudyError` if the study was made with other data.
    """
    if not paths.study.exists():
        write_study_file(paths, _description(space, dataset, counts))
        return
    known = read_study_file(paths)
    stored = known.data.fingerprint
    if stored != dataset.fingerprint:
        raise StudyError(
            f"{paths.root}: was made with other data (fingerprint {stored[:12]}, {space.data.source} now has "
            f"{str(dataset.fingerprint)[:12]}); give the original --data, or another --out"
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
    """The git commit of this package's checkout; None if it is not a checkout."""
    folder = Path(__file__).parent
    done = subprocess.run(["git", "-C", str(folder), "rev-parse", "HEAD"], capture_output=True, text=True)
    return done.stdout.strip() or None if done.returncode == 0 else None


def open_storage(paths: StudyPaths, name: str, search: SearchConfig) -> optuna.Study:
    """Open the Optuna study in `study.db`, or create it. `optuna-dashboard` can open the same file.

    Raises `StudyError` if the file is not such a database.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if not paths.database.is_file():
        # Created under another name and then renamed, so that a kill leaves no database without tables.
        with io.replacing(paths.database) as temporary:
            _open(temporary, name, search)
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
    """Lock the study for this process. Raises `StudyError`, with the other process's id and host, if it is locked."""
    with ExitStack() as stack:
        try:
            stack.enter_context(io.locked(paths.lock))
        except io.LockHeld as held:
            raise StudyError(f"{paths.root}: a search is running on it ({held}); stop that search first") from held
        yield
