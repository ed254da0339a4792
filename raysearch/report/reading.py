"""Reads a study's small files into frozen values. Errors name every malformed file."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from raysearch.ensemble.library import is_dropped
from raysearch.errors import StudyError, UserError
from raysearch.io import display_path, read_json, read_yaml
from raysearch.paths import StudyPaths, TrialPaths
from raysearch.report.stored import ConfigFile, EnsembleFile, EpochLine, InfoFile, ResultFile, StudyFile
from raysearch.report.study import Study, Trial
from raysearch.section import validate
from raysearch.space.schema import SearchObjective


def read_study(root: Path) -> Study:
    """Read the study in ``root``.

    Raises `StudyError` if the folder is not a study, or naming every malformed file.
    """
    paths = StudyPaths(root).require()
    faults: list[str] = []
    facts = _collect(partial(_parse, StudyFile, paths.study, read_yaml), faults)
    objective = facts.space.search.objective if facts else "accuracy"
    trials = [_collect(partial(_read_trial, number, trial, objective), faults) for number, trial in paths.trials()]
    files = sorted(paths.ensembles.glob("[!.]*.json"))
    ensembles = [_collect(partial(_parse, EnsembleFile, file, read_json), faults) for file in files]
    if faults or facts is None:
        raise StudyError(faults)
    return Study(root, facts, tuple(t for t in trials if t), tuple(e for e in ensembles if e))


def _read_trial(number: int, paths: TrialPaths, objective: SearchObjective) -> Trial:
    curve = _read_curve(paths.metrics)
    if not paths.result.exists():
        return _read_running(number, paths, objective, curve)
    result = _parse(ResultFile, paths.result, read_json)
    return Trial(
        number=number,
        state=result.state,
        reason=result.reason,
        value=None if result.state == "FAIL" else result.value,
        ensemble_gain=None if result.state == "FAIL" else result.ensemble_gain,
        backbone=result.backbone,
        epochs_done=result.epochs_done,
        epochs=result.epochs,
        seconds=result.seconds,
        params={name.partition("[")[0]: value for name, value in result.params.items()},
        views=result.views,
        curve=curve,
        notes=result.notes,
        objective=objective,
        # The file can list weights that still exist: a kill came before their removal, or they were restored.
        dropped=tuple(role for role in dict.fromkeys(result.dropped) if is_dropped(paths, role)),
    )


def _read_running(number: int, paths: TrialPaths, objective: SearchObjective, curve: tuple[EpochLine, ...]) -> Trial:
    config = _parse(ConfigFile, paths.config, read_yaml).trial if paths.config.exists() else None
    return Trial(
        number=number,
        state="RUNNING",
        reason=None,
        value=None,
        ensemble_gain=None,
        backbone=config.backbone if config else None,
        epochs_done=curve[-1].epoch if curve else 0,
        epochs=config.epochs if config else None,
        seconds=curve[-1].seconds if curve else None,
        params={},
        views={},
        curve=curve,
        notes=_read_notes(paths),
        objective=objective,
        dropped=(),
    )


def _read_notes(paths: TrialPaths) -> tuple[str, ...]:
    notes = _parse(InfoFile, paths.info, read_json).notes if paths.info.exists() else ()
    return (*notes, paths.smaller_batches.read_text("utf-8")) if paths.smaller_batches.exists() else notes


def _read_curve(path: Path) -> tuple[EpochLine, ...]:
    """Read the epochs of metrics.jsonl. Ignores a last line without a newline: it is still being written."""
    if not path.exists():
        return ()
    *lines, _unfinished = path.read_text(encoding="utf-8").split("\n")
    epochs = []
    for number, line in enumerate(lines, start=1):
        where = f"{display_path(path)}: line {number}"
        try:
            value = json.loads(line)
        except ValueError as error:
            raise UserError(f"{where}: not valid JSON ({error})") from error
        epochs.append(validate(EpochLine, value, where))
    return tuple(epochs)


FileT = TypeVar("FileT", StudyFile, ResultFile, ConfigFile, InfoFile, EnsembleFile)
T = TypeVar("T")


def _parse(section: type[FileT], path: Path, read: Callable[[Path], Any]) -> FileT:
    return validate(section, read(path), display_path(path))


def _collect(read: Callable[[], T], faults: list[str]) -> T | None:
    """The result of ``read``, or None if it fails; adds its faults to ``faults``."""
    try:
        return read()
    except UserError as error:
        faults.extend(error.faults)
        return None
