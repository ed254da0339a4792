"""Loads a study's candidates: the stored held-out predictions of every finished trial, memory-mapped."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from raysearch.ensemble.checks import find_fault, shorten
from raysearch.ensemble.weighting import SelectionObjective
from raysearch.errors import PredictionsError, StudyError, UserError
from raysearch.io import display_path, read_json
from raysearch.paths import VIEWS, StudyPaths, TrialPaths, view_parts
from raysearch.predictions import Predictions, check_aligned, read_predictions
from raysearch.study_file import read_study_file

FINISHED = ("COMPLETE", "PRUNED")
UNFINISHED = "unfinished"


@dataclass(frozen=True)
class Added:
    """Predictions from a file (`--add`), on the same samples in the same order."""

    name: str
    """The file's name, which is also the member's name"""
    probs: np.ndarray
    """float32 [samples, classes]"""
    weights_sha256: str
    """Hash of the file, because the weights are unknown"""


@dataclass(frozen=True)
class Library:
    """Candidates on the same samples: at least one of the study, by trial and view; then those from files."""

    candidates: tuple[Predictions, ...]
    added: tuple[Added, ...] = ()
    objective: SelectionObjective = "accuracy"
    """What a selection maximizes unless a recipe says otherwise"""
    notes: tuple[str, ...] = ()
    """What was left out and why: sentences for the user, without a full stop"""

    @property
    def all(self) -> tuple[Predictions | Added, ...]:
        return *self.candidates, *self.added

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(candidate.name for candidate in self.all)

    @property
    def probs(self) -> list[np.ndarray]:
        """float32 [samples, classes] for each candidate; the study's are memory-mapped"""
        return [candidate.probs for candidate in self.all]

    @property
    def labels(self) -> np.ndarray:
        """int32 [samples]"""
        return self.candidates[0].labels

    @property
    def sample_ids(self) -> tuple[str, ...]:
        return self.candidates[0].sample_ids

    @property
    def classes(self) -> tuple[str, ...]:
        return self.candidates[0].classes

    @property
    def fingerprint(self) -> str:
        return self.candidates[0].fingerprint

    def with_notes(self, *notes: str) -> "Library":
        """A copy with additional notes."""
        return replace(self, notes=(*self.notes, *notes))


def load_library(study: StudyPaths, views: Sequence[str] = VIEWS, resolutions: bool = True) -> Library:
    """Load the stored ``views`` of all COMPLETE and PRUNED trials; leaves out running and failed trials.

    ``resolutions`` includes the same views at other image sides (`student-final-40px`). Raises `StudyError` if the
    folder is not a study or has no candidate, and `PredictionsError` naming every file that is malformed, or was made
    on another split than held_out, on other data, or on other samples.
    """
    file = read_study_file(study)
    fingerprint = file.data.fingerprint
    faults: list[str] = []
    candidates: dict[str, Predictions] = {}
    states: dict[int, str] = {}
    empty = []
    for number, trial in study.trials():
        try:
            states[number] = _state(trial)
        except UserError as error:
            faults += error.faults
            continue
        if states[number] in FINISHED:
            stored = {
                view: trial.predictions(view) for view in trial.stored_views() if _is_selected(view, views, resolutions)
            }
            predictions, read_faults = _read(number, stored, fingerprint)
            candidates |= predictions
            faults += read_faults
            empty += [] if stored else [number]
    if candidates:
        faults += _alignment_faults(candidates)
    if faults:
        raise PredictionsError(faults)
    if not candidates:
        raise StudyError(_describe_missing(study, views, list(states.values())))
    objective: SelectionObjective = "balanced_accuracy" if file.objective == "balanced_accuracy" else "accuracy"
    return Library(tuple(candidates.values()), objective=objective, notes=tuple(_notes(states, empty)))


def is_dropped(trial: TrialPaths, role: str) -> bool:
    """Whether the search removed the weights of ``role`` to stay within `search.checkpoints_gb`.

    For a trial of several trainings (`data.folds`): whether any training's weights are removed. Weights that
    `result.json` lists as dropped count as present if their files exist: a refit or the user may have restored them.
    """
    if not trial.result.is_file():
        return False
    missing = any(not training.weights(role).is_file() for training in trial.trainings)
    return missing and role in (read_json(trial.result).get("dropped") or ())


def _state(trial: TrialPaths) -> str:
    if not trial.result.is_file():
        return UNFINISHED
    result: Any = read_json(trial.result)
    if not isinstance(result, dict) or not isinstance(result.get("state"), str):
        raise StudyError(f"{display_path(trial.result)}: must contain a state; this is not a trial's result")
    return result["state"]


def _is_selected(view: str, views: Sequence[str], resolutions: bool) -> bool:
    parts = view_parts(view)
    return parts.kind in views and (resolutions or parts.side is None)


def _read(number: int, stored: dict[str, Path], fingerprint: str) -> tuple[dict[str, Predictions], list[str]]:
    """A trial's predictions by file name, and the faults of its malformed files."""
    valid, faults = {}, []
    for view, path in stored.items():
        try:
            predictions = read_predictions(path)
        except PredictionsError as error:
            faults += error.faults
            continue
        if fault := find_fault(predictions, number, view, fingerprint):
            faults.append(f"{display_path(path)}: {fault}")
        else:
            valid[display_path(path)] = predictions
    return valid, faults


def _alignment_faults(candidates: dict[str, Predictions]) -> list[str]:
    try:
        check_aligned(list(candidates.values()), list(candidates))
    except PredictionsError as error:
        return error.faults
    return []


def _notes(states: Mapping[int, str], empty: Sequence[int]) -> Iterator[str]:
    unfinished = [number for number, state in states.items() if state == UNFINISHED]
    if unfinished:
        yield f"{_counted(unfinished, 'has', 'have')} not finished and {_is_left_out(unfinished)}"
    if empty:
        yield f"{_counted(empty, 'has', 'have')} no stored predictions of the selected views and {_is_left_out(empty)}"


def _counted(trials: Sequence[int], one: str, several: str) -> str:
    names = shorten([str(number) for number in trials])
    return f"trial {names} {one}" if len(trials) == 1 else f"{len(trials)} trials ({names}) {several}"


def _is_left_out(trials: Sequence[int]) -> str:
    return "is left out" if len(trials) == 1 else "are left out"


def _describe_missing(study: StudyPaths, views: Sequence[str], states: Sequence[str]) -> str:
    trials = ", ".join(f"{count} {state}" for state, count in sorted(Counter(states).items())) or "none"
    return (
        f"{display_path(study.root)}: no COMPLETE or PRUNED trial has stored predictions of the views "
        f"{', '.join(views)} (trials: {trials}); finish a trial with `raysearch tune` first"
    )
