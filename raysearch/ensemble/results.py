"""An ensemble as the study keeps it: `ensembles/<name>.json`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field, TypeAdapter, ValidationError

from raysearch.ensemble.estimate import Gain
from raysearch.ensemble.library import Library
from raysearch.ensemble.recipe import Recipe
from raysearch.ensemble.selection import Score, weighted_mean
from raysearch.errors import PredictionsError, StudyError
from raysearch.io import display_path, read_json, write_json

WEIGHTS_TOLERANCE = 1e-9


@dataclass(frozen=True)
class Member:
    """One view of one trial, and its share of the vote."""

    trial: int
    view: str
    weight: Annotated[float, Field(gt=0, le=1)]
    weights_sha256: str
    """Of the checkpoint that made the predictions."""

    @property
    def name(self) -> str:
        return f"{self.trial:04d}-{self.view}"


@dataclass(frozen=True)
class Round:
    """A pick of the selection and the score of the mean after it."""

    round: int
    added: str
    accuracy: float
    log_loss: float


@dataclass(frozen=True)
class CrossFitted:
    """Scores on samples that did not choose (`raysearch.ensemble.estimate`)."""

    accuracy: float
    log_loss: float
    folds: int
    repeats: int


@dataclass(frozen=True)
class BestSingle:
    """The best candidate of all samples; its cross-fitted figure is that of choosing one candidate."""

    name: str
    in_sample: Score
    cross_fitted: Score


@dataclass(frozen=True)
class Ensemble:
    """Members with weights that sum to 1, how they were found, and what they are worth."""

    name: str
    recipe: Recipe
    split: str
    fingerprint: str
    classes: tuple[str, ...]
    n: int
    """Samples that decided."""
    candidates: int
    members: tuple[Member, ...]
    """By weight, the greatest first; then trial and view."""
    trajectory: tuple[Round, ...]
    best_round: int
    in_sample: Score
    cross_fitted: CrossFitted
    best_single: BestSingle
    gain: Gain


_FILE = TypeAdapter(Ensemble)


def write_ensemble(path: Path, ensemble: Ensemble) -> None:
    """Write one JSON file, aside then renamed."""
    write_json(path, _FILE.dump_python(ensemble, mode="json"))


def read_ensemble(path: Path) -> Ensemble:
    """Read what `write_ensemble` wrote. Raises a `UserError` naming the file when missing or malformed."""
    shown = display_path(path)
    if not path.is_file():
        raise StudyError(f"{shown}: no such ensemble; make it with raysearch.ensemble")
    try:
        ensemble = _FILE.validate_python(read_json(path))
    except ValidationError as error:
        places = [(".".join(map(str, item["loc"])), item["msg"]) for item in error.errors()]
        raise StudyError(f"{shown}: {place or 'top level'}: {message}" for place, message in places) from error
    total = sum(member.weight for member in ensemble.members)
    if abs(total - 1) > WEIGHTS_TOLERANCE:
        raise StudyError(f"{shown}: members: weights must sum to 1, but got {total:g}")
    return ensemble


def ensemble_probs(ensemble: Ensemble, library: Library) -> np.ndarray:
    """float64 [samples, classes]: the members' weighted mean; a row sums to 1 as the members' float32 rows do.

    Raises `PredictionsError` when the library is of other data or lacks a member, or when a member has been
    trained again since the selection.
    """
    if library.fingerprint != ensemble.fingerprint:
        raise PredictionsError(
            f"ensemble {ensemble.name!r} is of other data than the predictions (fingerprint "
            f"{ensemble.fingerprint[:12]}, not {library.fingerprint[:12]}); run raysearch.ensemble again"
        )
    stored = dict(zip(library.names, library.candidates, strict=True))
    faults = []
    for member in ensemble.members:
        if member.name not in stored:
            faults.append(f"member {member.name}: its predictions are no longer stored")
        elif stored[member.name].weights_sha256 != member.weights_sha256:
            faults.append(f"member {member.name}: its predictions are of other weights than were selected")
    if faults:
        raise PredictionsError([f"{fault}; run raysearch.ensemble again" for fault in faults])
    return mean_of_members(ensemble.members, library)


def mean_of_members(members: tuple[Member, ...], library: Library) -> np.ndarray:
    """float64 [samples, classes]: the weighted mean of members that are all in the library."""
    probs = dict(zip(library.names, library.probs, strict=True))
    return weighted_mean([probs[member.name] for member in members], [member.weight for member in members])
