"""A study's folder as frozen values: everything the page shows, read from its small files only."""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from raysearch.config import display_path, validate
from raysearch.errors import StudyError, UserError
from raysearch.io import read_json, read_yaml
from raysearch.paths import StudyPaths, TrialPaths
from raysearch.report.stored import ConfigFile, EnsembleFile, EpochLine, ResultFile, Score, StudyFile

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
    """Best of the smoothed curve, of the study's objective."""
    backbone: str | None
    epochs_done: int
    epochs: int | None
    seconds: float | None
    params: Mapping[str, Any]
    """Sampled values by dotted path: `optimizer.lr`, also where a backbone brought its own range of it."""
    views: Mapping[str, Score]
    """Held-out scores of the stored predictions."""
    curve: tuple[EpochLine, ...]

    @property
    def label(self) -> str:
        return f"trial {self.number} · {self.backbone or 'unknown backbone'}"

    @property
    def best_view(self) -> str | None:
        """The stored view of highest accuracy, ties by log loss."""

        def rank(view: str) -> tuple[float, float]:
            score = self.views[view]
            return (_or(score.accuracy, -1.0), -_or(score.log_loss, float("inf")))

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
    def objective(self) -> str:
        return self.facts.space.search.objective

    @property
    def maximize(self) -> bool:
        return self.objective == "accuracy"

    @property
    def ranked(self) -> tuple[Trial, ...]:
        """Best value first; trials without a value last, by number."""
        sign = -1 if self.maximize else 1
        return tuple(sorted(self.trials, key=lambda t: (t.value is None, sign * (t.value or 0), t.number)))

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


def read_study(root: Path) -> Study:
    """Read the study in ``root``.

    Raises `StudyError` when the folder is no study, or naming every file that is malformed.
    """
    paths = StudyPaths(root).require()
    faults: list[str] = []
    facts = _collect(partial(_parse, StudyFile, paths.study, read_yaml), faults)
    trials = [_collect(partial(_read_trial, number, trial), faults) for number, trial in paths.trials()]
    files = sorted(paths.ensembles.glob("[!.]*.json"))
    ensembles = [_collect(partial(_parse, EnsembleFile, file, read_json), faults) for file in files]
    if faults or facts is None:
        raise StudyError(faults)
    return Study(root, facts, tuple(t for t in trials if t), tuple(e for e in ensembles if e))


def short_names(names: Sequence[str]) -> dict[str, str]:
    """Each dotted name -> its last part, or the whole where two share that part."""
    ends = Counter(name.rpartition(".")[2] for name in names)
    return {name: end if ends[end := name.rpartition(".")[2]] == 1 else name for name in names}


def _read_trial(number: int, paths: TrialPaths) -> Trial:
    curve = _read_curve(paths.metrics)
    if not paths.result.exists():
        return _running(number, paths, curve)
    result = _parse(ResultFile, paths.result, read_json)
    return Trial(
        number=number,
        state=result.state,
        reason=result.reason,
        value=None if result.state == "FAIL" else result.value,
        backbone=result.backbone,
        epochs_done=result.epochs_done,
        epochs=result.epochs,
        seconds=result.seconds,
        params={name.partition("[")[0]: value for name, value in result.params.items()},
        views=result.views,
        curve=curve,
    )


def _running(number: int, paths: TrialPaths, curve: tuple[EpochLine, ...]) -> Trial:
    config = _parse(ConfigFile, paths.config, read_yaml).trial if paths.config.exists() else None
    return Trial(
        number=number,
        state="RUNNING",
        reason=None,
        value=None,
        backbone=config.backbone if config else None,
        epochs_done=curve[-1].epoch if curve else 0,
        epochs=config.epochs if config else None,
        seconds=curve[-1].seconds if curve else None,
        params={},
        views={},
        curve=curve,
    )


def _read_curve(path: Path) -> tuple[EpochLine, ...]:
    """The epochs of a metrics.jsonl; a last line without its newline is still being written and left out."""
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


FileT = TypeVar("FileT", StudyFile, ResultFile, ConfigFile, EnsembleFile)
T = TypeVar("T")


def _parse(section: type[FileT], path: Path, read: Callable[[Path], Any]) -> FileT:
    return validate(section, read(path), display_path(path))


def _collect(read: Callable[[], T], faults: list[str]) -> T | None:
    """What ``read`` returns, or None with its mistakes added to ``faults``."""
    try:
        return read()
    except UserError as error:
        faults.extend(error.faults)
        return None


def _log_keys(space: Any) -> set[str]:
    """Last keys of all ``{loguniform: [..]}`` leaves, those in an option's own sub-space too."""
    if not isinstance(space, dict):
        return set()
    here = {key for key, value in space.items() if isinstance(value, dict) and "loguniform" in value}
    return here.union(*(_log_keys(value) for value in space.values()))


def _or(value: float | None, default: float) -> float:
    return default if value is None else value
