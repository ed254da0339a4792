"""An ensemble as the study keeps it: `ensembles/<name>.json`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, TypeAdapter, ValidationError

from raysearch.ensemble.calibration import Calibration
from raysearch.ensemble.intervals import Gain
from raysearch.ensemble.library import Library
from raysearch.ensemble.members import Contribution, Disagreement
from raysearch.ensemble.recipe import Recipe
from raysearch.ensemble.scores import Score, weighted_mean
from raysearch.errors import PredictionsError, StudyError
from raysearch.io import display_path, read_json, write_json

WEIGHTS_TOLERANCE = 1e-9


@dataclass(frozen=True)
class Member:
    """One view of one trial, or predictions made elsewhere, and its share of the vote."""

    trial: int | None
    """None of predictions made elsewhere (`--add`)"""
    view: str
    """Of the trial; of predictions made elsewhere the file's name"""
    weight: Annotated[float, Field(gt=0, le=1)]
    weights_sha256: str
    """Of the checkpoint that made the predictions; of predictions made elsewhere that of the file"""
    backbone: str | None = None
    contribution: Contribution | None = None
    """None of a member that is alone wherever it is chosen"""

    @property
    def name(self) -> str:
        return self.view if self.trial is None else f"{self.trial:04d}-{self.view}"


@dataclass(frozen=True)
class Round:
    """A pick of the selection and the score of the mean after it."""

    round: int
    added: str
    accuracy: float
    log_loss: float


@dataclass(frozen=True)
class CrossFitted:
    """Scores on samples that did not choose (`raysearch.ensemble.estimate`), and the accuracy's interval."""

    accuracy: float
    log_loss: float
    folds: int
    repeats: int
    low: float
    high: float
    confidence: float


@dataclass(frozen=True)
class BestSingle:
    """The best candidate of all samples; its cross-fitted figure is that of choosing one candidate."""

    name: str
    in_sample: Score
    cross_fitted: Score


@dataclass(frozen=True)
class UniformMean:
    """The plain mean of the best candidates, chosen in the same way."""

    members: int
    in_sample: Score
    cross_fitted: Score


Recommended = Literal["ensemble", "single", "uniform"]


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
    uniform: UniformMean
    gain: Gain
    disagreement: Disagreement | None
    """None of a single member"""
    calibration: Calibration
    recommended: Recommended
    """What these samples speak for: `recommend`."""
    notes: tuple[str, ...]
    """What was left out or done otherwise than asked: sentences without a full stop"""


def recommend(gain: Gain, single: Score, uniform: Score) -> Recommended:
    """The ensemble where it is better for sure than the best single model.

    Else what is simpler, the single model or the plain mean: whichever is better cross-fitted, the single if equal.
    """
    if gain.is_certain:
        return "ensemble"
    return "uniform" if uniform.rank > single.rank else "single"


_FILE = TypeAdapter(Ensemble)


def write_ensemble(path: Path, ensemble: Ensemble) -> None:
    """Write one JSON file, aside then renamed."""
    write_json(path, _FILE.dump_python(ensemble, mode="json"))


def read_ensemble(path: Path) -> Ensemble:
    """Read what `write_ensemble` wrote. Raises a `UserError` naming the file when missing or malformed."""
    shown = display_path(path)
    if not path.is_file():
        raise StudyError(f"{shown}: no such ensemble; make it with raysearch.ensemble")
    content: Any = read_json(path)
    if isinstance(content, dict) and "gain" in content and "calibration" not in content:
        raise StudyError(f"{shown}: written by an earlier version of raysearch; run raysearch.ensemble again")
    try:
        ensemble = _FILE.validate_python(content)
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
    stored = dict(zip(library.names, library.all, strict=True))
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
