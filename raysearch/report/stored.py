"""The parts of a study's files that the report reads, as lenient, frozen sections: unknown keys are ignored."""

import math
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field

from raysearch.ensemble.methods import BASELINE, METHODS, Method
from raysearch.section import Section
from raysearch.space.schema import SearchObjective


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


Number = Annotated[float | None, BeforeValidator(_finite)]
"""A finite number. NaN and infinities are read as None, because JSON on the page cannot contain them."""


class Stored(Section):
    """Part of a stored file."""

    model_config = ConfigDict(extra="ignore", strict=False)


class Measured(Stored):
    """Figures of an ensemble; see `raysearch.ensemble.scores.Measured`."""

    accuracy: Number
    """In [0, 1]"""
    balanced_accuracy: Number = None
    """In ensembles: given if it is the objective of the selection. In trials: always given by this version"""

    @property
    def value(self) -> float | None:
        """In ensembles: the objective of the selection."""
        return self.accuracy if self.balanced_accuracy is None else self.balanced_accuracy

    @property
    def measure(self) -> str:
        """In ensembles: the objective's name in text."""
        return "accuracy" if self.balanced_accuracy is None else "balanced accuracy"


class Score(Measured):
    """Scores of probabilities on the held-out labels."""

    log_loss: Number = None
    """Nats per sample"""
    epoch: int | None = None
    """The epoch of the weights; given for stored views"""


class EpochLine(Stored):
    """One line of metrics.jsonl."""

    epoch: int
    seconds: Number = None
    """Since the start of the training"""
    train: dict[str, Number] = Field(default_factory=dict)
    held_out: dict[str, Score] | None = None
    """Score by view; None in epochs without an evaluation"""


class ResultFile(Stored):
    """result.json: how a training ended."""

    state: Literal["COMPLETE", "PRUNED", "FAIL"]
    reason: str | None = None
    value: Number = None
    ensemble_gain: Number = None
    """Nats; given if it is the search's objective"""
    role: str | None = None
    epochs_done: int = 0
    epochs: int | None = None
    seconds: Number = None
    backbone: str | None = None
    num_parameters: int | None = None
    params: dict[str, bool | int | Number | str] = Field(default_factory=dict)
    views: dict[str, Score] = Field(default_factory=dict)
    notes: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    """Roles whose weights were removed to stay within `search.checkpoints_gb`"""


class _TrialPart(Stored):
    backbone: str
    epochs: int | None = None
    """None for a training in stages"""


class ConfigFile(Stored):
    """config.yaml, read for trials without a result."""

    trial: _TrialPart


class InfoFile(Stored):
    """info.json, read for trials without a result."""

    notes: tuple[str, ...] = ()


class Contribution(Score):
    """What a member adds to the ensemble, cross-fitted."""

    chosen: float
    """Share of the folds' selections that contain it"""


class Member(Stored):
    trial: int | None
    """None for predictions from a file (`raysearch.ensemble --add`); the view is then the file's name"""
    view: str
    weight: float
    alone: Score | None = None
    """The member's own score on all held-out samples"""
    backbone: str | None = None
    contribution: Contribution | None = None

    @property
    def name(self) -> str:
        return self.view if self.trial is None else f"{self.trial:04d}-{self.view}"


class Round(Measured):
    """One round of the selection: the added candidate, and the score after it."""

    round: int
    added: str
    log_loss: Number


class CrossFitted(Score):
    folds: int
    repeats: int
    low: Number = None
    """Lower end of the interval of the objective"""
    high: Number = None
    confidence: float = 0.95


class Single(Stored):
    """The best single candidate."""

    name: str
    in_sample: Score
    cross_fitted: Score


class UniformMean(Stored):
    """The plain mean of the best candidates."""

    members: int
    in_sample: Score
    cross_fitted: Score
    gain: "Gain | None" = None
    """Over the best single candidate"""
    over_ensemble: "Gain | None" = None


class Disagreement(Stored):
    """Share of the images on which the top classes of two members differ."""

    mean: float
    matrix: tuple[tuple[float, ...], ...]


class Calibration(Stored):
    """Cross-fitted, before and after temperature scaling."""

    temperature: float
    ece: float
    ece_scaled: float
    log_loss: float
    log_loss_scaled: float


class Gain(Measured):
    """Cross-fitted accuracy of one selection minus that of another, with its interval."""

    accuracy: float
    low: float
    high: float
    confidence: float


class EnsembleFile(Stored):
    """ensembles/<name>.json. Keys that earlier versions did not write are None or empty."""

    name: str
    recipe: dict[str, Any] = Field(default_factory=dict)
    n: int
    candidates: int
    members: tuple[Member, ...]
    trajectory: tuple[Round, ...] = ()
    best_round: int | None = None
    in_sample: Score
    cross_fitted: CrossFitted
    best_single: Single
    uniform: UniformMean | None = None
    gain: Gain
    disagreement: Disagreement | None = None
    calibration: Calibration | None = None
    recommended: Literal["ensemble", "single", "uniform"] | None = None
    notes: tuple[str, ...] = ()

    @property
    def method_name(self) -> str | None:
        name = self.recipe.get("method")
        return name if isinstance(name, str) else None

    @property
    def method(self) -> Method | None:
        """The selection method; None if the file names none or one that this version does not know."""
        return METHODS.get(self.method_name or "")

    @property
    def is_baseline(self) -> bool:
        """Whether the ensemble is itself the plain mean that ensembles are compared with."""
        return self.method_name == BASELINE


class _SearchPart(Stored):
    objective: SearchObjective = "accuracy"


class _DataPart(Stored):
    source: str = "digits"
    folds: int | None = None
    folds_trained: int | None = None


class _SpacePart(Stored):
    data: _DataPart = _DataPart()
    search: _SearchPart = _SearchPart()
    trial: dict[str, Any] = Field(default_factory=dict)
    """Values of a training; some leaves are distributions such as ``{loguniform: [1e-4, 1e-1]}``."""


class DataFacts(Stored):
    fingerprint: str
    classes: tuple[str, ...]
    counts: dict[str, int | None]
    """Number of images by split"""


class StudyFile(Stored):
    """study.yaml."""

    study: str
    space: _SpacePart = _SpacePart()
    versions: dict[str, str] = Field(default_factory=dict)
    commit: str | None = None
    data: DataFacts
    created: datetime
