"""The progress of a search as plain lines, for logs, pipes and `--quiet`; and the format of its values."""

import math
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Self

from raysearch.config import Objective, TrainingConfig, is_maximized
from raysearch.space.schema import SearchObjective
from raysearch.tune.listener import EnsembleNow

EVERY_S = 30.0
"""Shortest time in seconds between two lines about a running trial."""


class ValueFormat:
    """Formats and compares the values of an objective: ``56.8 %``, ``log loss 1.234``, ``gain 0.012``."""

    def __init__(self, objective: SearchObjective) -> None:
        self.objective = objective
        self.figure: Objective = "log_loss" if objective == "ensemble_gain" else objective
        self.name = self.figure.replace("_", " ")
        self.is_share = is_maximized(self.figure)

    def read_report(self, report: Mapping[str, Any]) -> float:
        """The value of a report, as in results. With the objective `ensemble_gain`, reports hold minus the log loss."""
        return -report["value"] if self.objective == "ensemble_gain" else report["value"]

    def format_number(self, value: float | None) -> str:
        """The value without its name; ``-`` before the first evaluation."""
        if value is None:
            return "-"
        return f"{100 * value:.1f} %" if self.is_share else f"{value:.3f}"

    def format(self, value: float | None) -> str:
        if value is None:
            return "not evaluated"
        number = self.format_number(value)
        return number if self.figure == "accuracy" else f"{self.name} {number}"

    def format_result(self, result: Mapping[str, Any]) -> str:
        """The value of an ended trial, after its ensemble gain if it has one."""
        gain = result.get("ensemble_gain")
        return self.format(result["value"]) if gain is None else f"gain {gain:.3f}, {self.format(result['value'])}"

    def better(self, one: float, other: float) -> float:
        return max(one, other) if self.is_share else min(one, other)

    def rank(self, result: Mapping[str, Any]) -> tuple[float, float]:
        """Sort key, greater is better: the ensemble gain if it is the objective, then the trial's value."""
        gain = result.get("ensemble_gain") if self.objective == "ensemble_gain" else None
        value = result["value"] if self.is_share else -result["value"]
        return (-math.inf if gain is None else gain), value

    def best(self, results: Iterable[Mapping[str, Any]]) -> Mapping[str, Any] | None:
        """The best trial that did not fail; None if there is none."""
        ranked = [result for result in results if result["state"] != "FAIL" and is_finite(result["value"])]
        return max(ranked, key=self.rank, default=None)

    def format_ensemble(self, ensemble: EnsembleNow) -> str:
        members = "1 member" if ensemble.members == 1 else f"{ensemble.members} members"
        measure = "" if ensemble.measure == "accuracy" else f"{ensemble.measure} "
        log_loss = "" if self.is_share else f", log loss {ensemble.log_loss:.3f}"
        return f"{members}, {measure}{100 * ensemble.value:.1f} %{log_loss} cross-fitted"


def count_epochs(config: TrainingConfig) -> int:
    """Epochs of a trial; with folds, of all its folds together."""
    return config.trial.total_epochs * (config.data.trainings or 1)


def is_finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def one_line(text: str) -> str:
    """``text`` without line breaks and control characters, which a terminal would interpret."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


class Lines:
    """Prints plain lines to stdout; with ``quiet``, only failures and notes, to stderr.

    ``earlier``: results of the trials that ended before this process.
    """

    def __init__(
        self,
        objective: SearchObjective,
        earlier: Iterable[Mapping[str, Any]] = (),
        *,
        quiet: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.values, self.quiet = ValueFormat(objective), quiet
        self._best = self.values.best(earlier)
        self._clock, self._began = clock, clock()
        self._printed: dict[int, float] = {}
        """Time of the last line about each running trial"""
        self._ensemble = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Do nothing: plain lines stay as they are."""

    def started(self, number: int, config: TrainingConfig, epochs_done: int) -> None:
        trial = config.trial
        self._printed[number] = self._clock()
        resumes = f", resumes after epoch {epochs_done}" if epochs_done else ""
        folds = f"{config.data.trainings} folds of " if config.data.folds else ""
        self._print(f"trial {number:>3} started   {trial.backbone}, {folds}{trial.total_epochs} epochs{resumes}")

    def reported(self, number: int, report: Mapping[str, Any]) -> None:
        if self._clock() - self._printed.get(number, -math.inf) < EVERY_S:
            return
        self._printed[number] = self._clock()
        value = self.values.format(self.values.read_report(report))
        fold = f"fold {report['fold']}" if "fold" in report else ""
        self._print(f"trial {number:>3} {fold:<9} epoch {report['epoch']}/{report['epochs']}  {value}")

    def ended(self, number: int, result: Mapping[str, Any]) -> None:
        if result["state"] == "FAIL":
            return self._print(f"trial {number:>3} FAIL      {one_line(result['reason'])}", is_important=True)
        self._best = self.values.best([*([self._best] if self._best else []), result])
        role = f", {result['role']}" if result["role"] else ""
        reason = f", {one_line(result['reason'])}" if result["reason"] else ""
        best = (
            f"; best {self.values.format_result(self._best)} (trial {self._best['trial_number']})" if self._best else ""
        )
        progress = f"epoch {result['epochs_done']}/{result['epochs']}{role}{reason}"
        self._print(f"trial {number:>3} {result['state']:<9} {self.values.format_result(result)}  {progress}{best}")

    def interrupted(self, number: int, reason: str) -> None:
        self._print(f"trial {number:>3} restarts  {one_line(reason)}")

    def estimated(self, ensemble: EnsembleNow) -> None:
        text = self.values.format_ensemble(ensemble)
        if text != self._ensemble:
            self._ensemble = text
            self._print(f"ensemble now: {text}")

    def noted(self, text: str) -> None:
        self._print(one_line(text), is_important=True)

    def _print(self, text: str, is_important: bool = False) -> None:
        """Print a line with the time since the start, as minutes:seconds."""
        if self.quiet and not is_important:
            return
        seconds = int(self._clock() - self._began)
        line = f"{seconds // 60:>3}:{seconds % 60:02}  {text}"
        print(line, file=sys.stderr if self.quiet else sys.stdout, flush=True)
