"""A study as frozen values: everything the page shows."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raysearch.report.stored import EnsembleFile, EpochLine, Score, StudyFile
from raysearch.space.schema import SearchObjective

STATES = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "running"}
"""A trial's state -> the word for it in a sentence, in the order they are counted."""


@dataclass(frozen=True)
class Trial:
    """One training, ended or running."""

    number: int
    state: str
    """One of `STATES`; RUNNING when it has left no result."""
    reason: str | None
    value: float | None
    """Best of the smoothed curve, of the study's figure; with folds that of the out-of-fold predictions."""
    ensemble_gain: float | None
    """Nats by which the trial lowered the ensemble's log loss, of a search for that."""
    backbone: str | None
    epochs_done: int
    epochs: int | None
    seconds: float | None
    params: Mapping[str, Any]
    """Sampled values by dotted path: `optimizer.lr`, also where a backbone brought its own range of it."""
    views: Mapping[str, Score]
    """Held-out scores of the stored predictions."""
    curve: tuple[EpochLine, ...]
    notes: tuple[str, ...]
    """What was done otherwise than asked or expected."""
    dropped: tuple[str, ...]
    """Whose weights the study's budget has no room for: `student`, `teacher`."""

    @property
    def label(self) -> str:
        return f"trial {self.number} · {self.backbone or 'unknown backbone'}"

    @property
    def best_view(self) -> str | None:
        """The stored view of highest accuracy, ties by log loss."""

        def rank(view: str) -> tuple[float, float]:
            score = self.views[view]
            return (_or(score.accuracy, -1.0), -_or(score.log_loss, math.inf))

        return max(self.views, key=rank, default=None)


@dataclass(frozen=True)
class Study:
    """A study as it stands on disk."""

    root: Path
    facts: StudyFile
    trials: tuple[Trial, ...]
    """By number."""
    ensembles: tuple[EnsembleFile, ...]
    """By name."""

    @property
    def objective(self) -> SearchObjective:
        return self.facts.space.search.objective

    @property
    def folds(self) -> int | None:
        """Trainings of each trial, where it has several: each with another part of the labelled images held out."""
        return self.facts.space.data.folds

    @property
    def figure(self) -> str:
        """What the trials' values are; of a search for `ensemble_gain` they are log losses."""
        return "accuracy" if self.objective == "accuracy" else "log loss"

    @property
    def maximize(self) -> bool:
        """Whether a greater value is a better one."""
        return self.figure == "accuracy"

    @property
    def is_by_gain(self) -> bool:
        """Whether trials are ranked by their gain, and by their values only where gains are equal."""
        return self.objective == "ensemble_gain"

    @property
    def ranked(self) -> tuple[Trial, ...]:
        """The best first; trials without a value last, by number."""
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
        """The ensemble of the default recipe, else the first by name."""
        by_name = {e.name: e for e in self.ensembles}
        return by_name.get("greedy") or next(iter(self.ensembles), None)

    def count(self) -> dict[str, int]:
        """Trials by state, states that occur only."""
        counted = Counter(t.state for t in self.trials)
        return {state: counted[state] for state in STATES if counted[state]}

    def sampled(self) -> tuple[str, ...]:
        """Names of all sampled parameters but the backbone, in order of first appearance."""
        return tuple(dict.fromkeys(p for t in self.trials for p in t.params if p != "backbone"))

    def is_logarithmic(self, parameter: str) -> bool:
        """Whether the space draws the parameter on a logarithmic scale."""
        return parameter.rpartition(".")[2] in _log_keys(self.facts.space.trial)


def short_names(names: Sequence[str]) -> dict[str, str]:
    """Each dotted name -> its last part, or the whole where two share that part."""
    ends = Counter(name.rpartition(".")[2] for name in names)
    return {name: end if ends[end := name.rpartition(".")[2]] == 1 else name for name in names}


def _log_keys(space: Any) -> set[str]:
    """Last keys of all ``{loguniform: [..]}`` leaves, those in an option's own sub-space too."""
    if not isinstance(space, dict):
        return set()
    here = {key for key, value in space.items() if isinstance(value, dict) and "loguniform" in value}
    return here.union(*(_log_keys(value) for value in space.values()))


def _or(value: float | None, default: float) -> float:
    return default if value is None else value
