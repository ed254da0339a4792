"""The stored ensemble: `ensembles/<name>.json`."""

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
from raysearch.ensemble.scores import Measured, Score, weighted_mean
from raysearch.errors import PredictionsError, StudyError
from raysearch.io import display_path, read_json, write_json

WEIGHTS_TOLERANCE = 1e-9


@dataclass(frozen=True)
class Member:
    """One view of one trial, or predictions from a file (`--add`), and its weight in the vote."""

    trial: int | None
    """None for predictions from a file"""
    view: str
    """The trial's view, or the file's name"""
    weight: Annotated[float, Field(gt=0, le=1)]
    weights_sha256: str
    """Hash of the checkpoint that made the predictions, or of the file"""
    alone: Score
    """The member's own score on all held-out samples"""
    backbone: str | None = None
    contribution: Contribution | None = None
    """None for a member that is the only one in every selection that contains it"""

    @property
    def name(self) -> str:
        return self.view if self.trial is None else f"{self.trial:04d}-{self.view}"


@dataclass(frozen=True)
class Round:
    """A pick of the selection and the score of the mean after it; for a bagged selection, one entry per bag."""

    round: int
    added: str
    accuracy: float
    log_loss: float
    balanced_accuracy: float | None = None
    """Given if it is the objective of the selection"""


@dataclass(frozen=True)
class CrossFitted(Measured):
    """Scores on left-out samples (`raysearch.ensemble.estimate`), and the interval of the objective."""

    accuracy: float
    log_loss: float
    folds: int
    repeats: int
    low: float
    high: float
    confidence: float
    balanced_accuracy: float | None = None
    """Given if it is the objective of the selection; the interval is then that of the balanced accuracy"""

    @property
    def score(self) -> Score:
        return Score(self.accuracy, self.log_loss, self.balanced_accuracy)


@dataclass(frozen=True)
class BestSingle:
    """The best candidate on all samples; the cross-fitted score selects one candidate in each fold."""

    name: str
    in_sample: Score
    cross_fitted: Score


@dataclass(frozen=True)
class UniformMean:
    """The plain mean of the best candidates, selected and scored in the same way."""

    members: int
    in_sample: Score
    cross_fitted: Score
    gain: Gain
    """Over the best single candidate"""
    over_ensemble: Gain
    """Over the ensemble; 0 if the ensemble is this mean"""


Recommended = Literal["ensemble", "single", "uniform"]


@dataclass(frozen=True)
class Ensemble:
    """Members with weights that sum to 1, how they were selected, and their estimated scores."""

    name: str
    recipe: Recipe
    split: str
    fingerprint: str
    classes: tuple[str, ...]
    n: int
    """Number of held-out samples"""
    candidates: int
    members: tuple[Member, ...]
    """By weight, greatest first; then by trial and view"""
    trajectory: tuple[Round, ...]
    best_round: int
    in_sample: Score
    cross_fitted: CrossFitted
    best_single: BestSingle
    uniform: UniformMean
    gain: Gain
    disagreement: Disagreement | None
    """None for a single member"""
    calibration: Calibration
    recommended: Recommended
    """The result of `recommend`"""
    notes: tuple[str, ...]
    """What was left out or differs from the recipe: sentences without a full stop"""


def recommend(gain: Gain, uniform: UniformMean) -> Recommended:
    """Recommend the ensemble if the whole interval of its ``gain`` over the best single model is above 0.

    Then recommend the plain mean instead only if the interval of its gain over the ensemble is above 0. Otherwise
    recommend the plain mean if the interval of its gain over the single model is above 0, and else the single model.
    """
    if gain.is_certain:
        return "uniform" if uniform.over_ensemble.is_certain else "ensemble"
    return "uniform" if uniform.gain.is_certain else "single"


_FILE = TypeAdapter(Ensemble)


def write_ensemble(path: Path, ensemble: Ensemble) -> None:
    """Write one JSON file, aside then renamed."""
    write_json(path, _FILE.dump_python(ensemble, mode="json"))


def read_ensemble(path: Path) -> Ensemble:
    """Read a file of `write_ensemble`. Raises a `UserError` naming the file if it is missing or malformed."""
    shown = display_path(path)
    if not path.is_file():
        raise StudyError(f"{shown}: no such ensemble; create it with `raysearch ensemble`")
    content: Any = read_json(path)
    if isinstance(content, dict) and _is_of_earlier_version(content):
        raise StudyError(f"{shown}: written by an earlier version of raysearch; run `raysearch ensemble` again")
    try:
        ensemble = _FILE.validate_python(content)
    except ValidationError as error:
        places = [(".".join(map(str, item["loc"])), item["msg"]) for item in error.errors()]
        raise StudyError(f"{shown}: {place or 'top level'}: {message}" for place, message in places) from error
    total = sum(member.weight for member in ensemble.members)
    if abs(total - 1) > WEIGHTS_TOLERANCE:
        raise StudyError(f"{shown}: members: weights must sum to 1, but got {total:g}")
    return ensemble


def _is_of_earlier_version(content: dict[str, Any]) -> bool:
    """Whether ``content`` is an ensemble without the keys that were added later."""
    if "gain" not in content:
        return False
    uniform, members = content.get("uniform"), content.get("members")
    has_gain = isinstance(uniform, dict) and {"gain", "over_ensemble"} <= uniform.keys()
    has_scores = isinstance(members, list) and all(isinstance(m, dict) and "alone" in m for m in members)
    return not ("calibration" in content and has_gain and has_scores)


def ensemble_probs(ensemble: Ensemble, library: Library) -> np.ndarray:
    """float64 [samples, classes]: the members' weighted mean; rows sum to 1 with the precision of float32.

    Raises `PredictionsError` if the library was made on other data, lacks a member, or has a member that was trained
    again after the selection.
    """
    if library.fingerprint != ensemble.fingerprint:
        raise PredictionsError(
            f"ensemble {ensemble.name!r} was made on other data than the predictions (fingerprint "
            f"{ensemble.fingerprint[:12]}, not {library.fingerprint[:12]}); run `raysearch ensemble` again"
        )
    stored = dict(zip(library.names, library.all, strict=True))
    faults = []
    for member in ensemble.members:
        if member.name not in stored:
            faults.append(f"member {member.name}: its predictions are no longer stored")
        elif stored[member.name].weights_sha256 != member.weights_sha256:
            faults.append(f"member {member.name}: its predictions were made by other weights than those selected")
    if faults:
        raise PredictionsError([f"{fault}; run `raysearch ensemble` again" for fault in faults])
    return mean_of_members(ensemble.members, library)


def mean_of_members(members: tuple[Member, ...], library: Library) -> np.ndarray:
    """float64 [samples, classes]: the weighted mean of ``members``, which must all be in the library."""
    probs = dict(zip(library.names, library.probs, strict=True))
    return weighted_mean([probs[member.name] for member in members], [member.weight for member in members])
