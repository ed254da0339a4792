"""The candidates of a study: stored held-out predictions of every finished trial, memory-mapped."""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from raysearch.errors import PredictionsError, StudyError, UserError
from raysearch.io import display_path, read_json
from raysearch.paths import VIEWS, StudyPaths, TrialPaths
from raysearch.predictions import Predictions, check_aligned, read_predictions
from raysearch.study_file import read_study_file

SELECTION_SPLIT = "held_out"
FINISHED = ("COMPLETE", "PRUNED")
SUM_TOLERANCE = 1e-3
"""How far a sample's float32 probabilities may sum from 1."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Library:
    """Candidates on the same samples, in the order of trial and view; at least one."""

    candidates: tuple[Predictions, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(candidate.name for candidate in self.candidates)

    @property
    def probs(self) -> list[np.ndarray]:
        """float32 [samples, classes] a candidate, memory-mapped"""
        return [candidate.probs for candidate in self.candidates]

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


def load_library(study: StudyPaths, views: Sequence[str] = VIEWS) -> Library:
    """The stored ``views`` of all COMPLETE and PRUNED trials; a trial that goes on or failed is left out.

    Raises `StudyError` for a folder that is no study or has no candidate, and `PredictionsError` naming every
    file that is malformed, of another split than held_out, of other data, or of other samples.
    """
    fingerprint = read_study_file(study).data.fingerprint
    faults: list[str] = []
    candidates: dict[str, Predictions] = {}
    states: Counter[str] = Counter()
    for number, trial in study.trials():
        try:
            state = _state(trial)
        except UserError as error:
            faults += error.faults
            continue
        states[state] += 1
        if state in FINISHED:
            found, wrong = _stored_views(number, trial, views, fingerprint)
            candidates |= found
            faults += wrong
    if candidates:
        faults += _alignment_faults(candidates)
    if faults:
        raise PredictionsError(faults)
    if not candidates:
        raise StudyError(_nothing_found(study, views, states))
    return Library(tuple(candidates.values()))


def _state(trial: TrialPaths) -> str:
    if not trial.result.is_file():
        return "unfinished"
    result: Any = read_json(trial.result)
    if not isinstance(result, dict) or not isinstance(result.get("state"), str):
        raise StudyError(f"{display_path(trial.result)}: holds no state; not a trial's result")
    return result["state"]


def _stored_views(
    number: int, trial: TrialPaths, views: Sequence[str], fingerprint: str
) -> tuple[dict[str, Predictions], list[str]]:
    """A trial's predictions by file name, and what is wrong with them one by one."""
    found, faults = {}, []
    paths = {view: trial.predictions(view) for view in VIEWS if view in views}
    stored = {view: path for view, path in paths.items() if path.is_file()}
    if not stored:
        _log.warning("%s: finished, but none of %s is stored", display_path(trial.root), ", ".join(paths))
    for view, path in stored.items():
        try:
            predictions = read_predictions(path)
        except PredictionsError as error:
            faults += error.faults
            continue
        if fault := _fault_of(predictions, number, view, fingerprint):
            faults.append(f"{display_path(path)}: {fault}")
        else:
            found[display_path(path)] = predictions
    return found, faults


def _fault_of(predictions: Predictions, number: int, view: str, fingerprint: str) -> str | None:
    if predictions.split != SELECTION_SPLIT:
        return f"of the {predictions.split!r} split; only {SELECTION_SPLIT!r} may decide on an ensemble"
    if predictions.fingerprint != fingerprint:
        return f"of other data than study.yaml (fingerprint {predictions.fingerprint[:12]}, not {fingerprint[:12]})"
    if (predictions.trial_number, predictions.view) != (number, view):
        return f"holds predictions of {predictions.name}, not of {number:04d}-{view}"
    if not len(predictions.sample_ids):
        return "holds no samples"
    if not 0 <= predictions.labels.min() <= predictions.labels.max() < len(predictions.classes):
        return f"labels must lie in 0 to {len(predictions.classes) - 1}, the indices of its classes"
    return _fault_of_probs(predictions)


def _fault_of_probs(predictions: Predictions) -> str | None:
    sums = predictions.probs.sum(axis=1, dtype=np.float64)
    valid = (np.abs(sums - 1) <= SUM_TOLERANCE) & (predictions.probs.min(axis=1) >= 0)
    if valid.all():
        return None
    at = int(np.flatnonzero(~valid)[0])
    return f"probabilities must be at least 0 and sum to 1, but those of {predictions.sample_ids[at]!r} do not"


def _alignment_faults(candidates: dict[str, Predictions]) -> list[str]:
    try:
        check_aligned(list(candidates.values()), list(candidates))
    except PredictionsError as error:
        return error.faults
    return []


def _nothing_found(study: StudyPaths, views: Sequence[str], states: Counter[str]) -> str:
    root: Path = study.root
    trials = ", ".join(f"{count} {state}" for state, count in sorted(states.items())) or "none"
    return (
        f"{display_path(root)}: no COMPLETE or PRUNED trial has stored predictions of {', '.join(views)} "
        f"(trials: {trials}); let raysearch.tune finish a trial first"
    )
