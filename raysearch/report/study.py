"""A study as frozen values: everything that the report shows."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raysearch.ensemble.settings import DEFAULT
from raysearch.report.stored import EnsembleFile, EpochLine, Score, StudyFile
from raysearch.space.schema import SearchObjective

STATES = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "running"}
"""A trial's state -> its word in a sentence, in display order."""


@dataclass(frozen=True)
class Trial:
    """One trial, ended or running."""

    number: int
    state: str
    """A key of `STATES`; RUNNING if it has no result"""
    reason: str | None
    value: float | None
    """Best value of the smoothed held-out curve; with folds, the value of the out-of-fold predictions"""
    ensemble_gain: float | None
    """Nats by which the trial lowered the ensemble's log loss, if this is the search's objective"""
    backbone: str | None
    epochs_done: int
    epochs: int | None
    seconds: float | None
    params: Mapping[str, Any]
    """Sampled values by dotted path, such as `optimizer.lr`, even if a backbone has its own range"""
    views: Mapping[str, Score]
    """Held-out scores of the stored predictions, by view"""
    curve: tuple[EpochLine, ...]
    notes: tuple[str, ...]
    """Deviations from the config, such as a smaller batch size"""
    objective: SearchObjective
    """Of the search"""
    dropped: tuple[str, ...]
    """Roles whose weights were removed to stay within the budget: `student`, `teacher`"""

    @property
    def label(self) -> str:
        return f"trial {self.number} · {self.backbone or 'unknown backbone'}"

    @property
    def best_view(self) -> str | None:
        """The stored view with the best `measure`; ties by log loss."""

        def rank(view: str) -> tuple[float, float]:
            score = self.views[view]
            return (_or(self.measure(score), -1.0), -_or(score.log_loss, math.inf))

        return max(self.views, key=rank, default=None)

    def measure(self, score: Score) -> float | None:
        """The share that views are compared by: balanced accuracy if it is the objective, else accuracy."""
        return score.balanced_accuracy if self.objective == "balanced_accuracy" else score.accuracy


@dataclass(frozen=True)
class Study:
    """A study, as read from disk."""

    root: Path
    facts: StudyFile
    trials: tuple[Trial, ...]
    """By number"""
    ensembles: tuple[EnsembleFile, ...]
    """By name"""

    @property
    def objective(self) -> SearchObjective:
        return self.facts.space.search.objective

    @property
    def folds(self) -> int | None:
        """Folds of the cross-validation; None without one. Each training of a trial holds out another fold."""
        return self.facts.space.data.folds

    @property
    def trainings(self) -> int | None:
        """Trainings of a trial in a cross-validation; None without one."""
        return self.facts.space.data.folds_trained or self.folds

    @property
    def figure(self) -> str:
        """The metric of the trials' values; log loss for the objective `ensemble_gain`."""
        return "log loss" if self.is_by_gain else self.objective.replace("_", " ")

    @property
    def share(self) -> str:
        """The name of the share that views are compared by."""
        return "balanced accuracy" if self.objective == "balanced_accuracy" else "accuracy"

    @property
    def maximize(self) -> bool:
        """Whether a greater value is better."""
        return self.figure != "log loss"

    @property
    def is_by_gain(self) -> bool:
        """Whether trials are ranked by their ensemble gain, and by value only for equal gains."""
        return self.objective == "ensemble_gain"

    @property
    def ranked(self) -> tuple[Trial, ...]:
        """Best first; then trials without a value, by number."""
        sign = -1 if self.maximize else 1

        def rank(trial: Trial) -> tuple[bool, float, float, int]:
            gain = _or(trial.ensemble_gain, -math.inf) if self.is_by_gain else 0.0
            return trial.value is None, -gain, sign * _or(trial.value, 0.0), trial.number

        return tuple(sorted(self.trials, key=rank))

    @property
    def backbones(self) -> tuple[str, ...]:
        return tuple(sorted({t.backbone for t in self.trials if t.backbone}))

    @property
    def headline(self) -> EnsembleFile | None:
        """The ensemble of the default recipe if it exists, otherwise the first by name."""
        by_name = {e.name: e for e in self.ensembles}
        return by_name.get(DEFAULT) or next(iter(self.ensembles), None)

    def count(self) -> dict[str, int]:
        """Number of trials by state, without states that do not occur."""
        counted = Counter(t.state for t in self.trials)
        return {state: counted[state] for state in STATES if counted[state]}

    def sampled(self) -> tuple[str, ...]:
        """Names of all sampled parameters except the backbone, in order of first appearance."""
        return tuple(dict.fromkeys(p for t in self.trials for p in t.params if p != "backbone"))

    def is_logarithmic(self, parameter: str) -> bool:
        """Whether the space samples the parameter on a logarithmic scale."""
        return parameter.rpartition(".")[2] in _log_keys(self.facts.space.trial)


def short_names(names: Sequence[str]) -> dict[str, str]:
    """Each dotted name -> its last part, or the whole name if two names share the last part."""
    ends = Counter(name.rpartition(".")[2] for name in names)
    return {name: end if ends[end := name.rpartition(".")[2]] == 1 else name for name in names}


def _log_keys(space: Any) -> set[str]:
    """Last keys of all ``{loguniform: [..]}`` leaves, including those in an option's sub-space."""
    if not isinstance(space, dict):
        return set()
    here = {key for key, value in space.items() if isinstance(value, dict) and "loguniform" in value}
    return here.union(*(_log_keys(value) for value in space.values()))


def _or(value: float | None, default: float) -> float:
    return default if value is None else value
