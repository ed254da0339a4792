"""What the report reads of a study's files, as lenient, frozen sections: a newer file's keys are passed over."""

import math
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field

from raysearch.section import Section
from raysearch.space.schema import SearchObjective


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


Number = Annotated[float | None, BeforeValidator(_finite)]
"""A finite number; NaN and infinities are read as None, so that no page shows them."""


class Stored(Section):
    """A part of a stored file."""

    model_config = ConfigDict(extra="ignore", strict=False)


class Score(Stored):
    """How well probabilities fit the held-out labels."""

    accuracy: Number
    """in [0, 1]"""
    log_loss: Number = None
    """nats a sample"""
    epoch: int | None = None
    """The epoch of the weights, where the score is a stored view's."""


class EpochLine(Stored):
    """A line of metrics.jsonl."""

    epoch: int
    seconds: Number = None
    """Since the training began."""
    train: dict[str, Number] = Field(default_factory=dict)
    held_out: dict[str, Score] | None = None
    """Score by view; None in epochs that did not look."""


class ResultFile(Stored):
    """result.json: how a training ended."""

    state: Literal["COMPLETE", "PRUNED", "FAIL"]
    reason: str | None = None
    value: Number = None
    ensemble_gain: Number = None
    """nats; of a search with that objective"""
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
    """Roles whose weights `search.checkpoints_gb` had no room for"""


class _TrialPart(Stored):
    backbone: str
    epochs: int | None = None
    """None of a training in stages."""


class ConfigFile(Stored):
    """The two values of a config.yaml that a training without a result is shown with."""

    trial: _TrialPart


class InfoFile(Stored):
    """info.json, for a training without a result."""

    notes: tuple[str, ...] = ()


class Contribution(Score):
    """What the ensemble has by a member, cross-fitted."""

    chosen: float
    """Share of the folds' selections that have it"""


class Member(Stored):
    trial: int | None
    """None of predictions made elsewhere, whose view is the file's name"""
    view: str
    weight: float
    backbone: str | None = None
    contribution: Contribution | None = None


class Round(Stored):
    """A round of the selection: what was added, and the ensemble's score after it."""

    round: int
    added: str
    accuracy: Number
    log_loss: Number


class CrossFitted(Score):
    folds: int
    repeats: int
    low: Number = None
    """Ends of the accuracy's interval"""
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


class Disagreement(Stored):
    """Shares of the images on which two members' top classes differ."""

    mean: float
    matrix: tuple[tuple[float, ...], ...]


class Calibration(Stored):
    """Cross-fitted, before and after temperature scaling."""

    temperature: float
    ece: float
    ece_scaled: float
    log_loss: float
    log_loss_scaled: float


class Gain(Stored):
    """Cross-fitted accuracy of the ensemble minus that of the best single, with its interval."""

    accuracy: float
    low: float
    high: float
    confidence: float


class EnsembleFile(Stored):
    """ensembles/<name>.json; what earlier versions did not write is None or empty."""

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


class _SearchPart(Stored):
    objective: SearchObjective = "accuracy"


class _DataPart(Stored):
    source: str = "digits"
    folds: int | None = None


class _SpacePart(Stored):
    data: _DataPart = _DataPart()
    search: _SearchPart = _SearchPart()
    trial: dict[str, Any] = Field(default_factory=dict)
    """A training's values, some leaves distributions such as ``{loguniform: [1e-4, 1e-1]}``."""


class DataFacts(Stored):
    fingerprint: str
    classes: tuple[str, ...]
    counts: dict[str, int | None]
    """Images by split."""


class StudyFile(Stored):
    """study.yaml."""

    study: str
    space: _SpacePart = _SpacePart()
    versions: dict[str, str] = Field(default_factory=dict)
    commit: str | None = None
    data: DataFacts
    created: datetime
