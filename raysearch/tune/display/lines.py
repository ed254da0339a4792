"""How a search's figures read, and its plain lines: for logs, pipes and `--quiet`."""

import math
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Self

from raysearch.config import TrainingConfig
from raysearch.space.schema import SearchObjective
from raysearch.tune.listener import EnsembleNow

EVERY_S = 30.0
"""Seconds between two lines on a running trial."""


class Figures:
    """How the values of a search with this objective read: ``56.8 %``, ``log loss 1.234``, ``gain 0.012``."""

    def __init__(self, objective: SearchObjective) -> None:
        self.objective = objective
        self.name = "accuracy" if objective == "accuracy" else "log loss"

    def of_look(self, report: Mapping[str, Any]) -> float:
        """Accuracy or log loss at a look: of an `ensemble_gain` search Tune hears minus the log loss."""
        return -report["value"] if self.objective == "ensemble_gain" else report["value"]

    def short(self, value: float | None) -> str:
        """Without its name; ``-`` before the first look."""
        if value is None:
            return "-"
        return f"{100 * value:.1f} %" if self.name == "accuracy" else f"{value:.3f}"

    def text(self, value: float | None) -> str:
        if value is None:
            return "no look"
        return self.short(value) if self.name == "accuracy" else f"log loss {value:.3f}"

    def of_result(self, result: Mapping[str, Any]) -> str:
        """The figure of an ended trial, led by its gain where that is known."""
        gain = result.get("ensemble_gain")
        return self.text(result["value"]) if gain is None else f"gain {gain:.3f}, {self.text(result['value'])}"

    def better(self, one: float, other: float) -> float:
        return max(one, other) if self.name == "accuracy" else min(one, other)

    def rank(self, result: Mapping[str, Any]) -> tuple[float, float]:
        """The greater the better: by the gain where the search is for it, then by the trial's own figure."""
        gain = result.get("ensemble_gain") if self.objective == "ensemble_gain" else None
        value = result["value"] if self.name == "accuracy" else -result["value"]
        return (-math.inf if gain is None else gain), value

    def best(self, results: Iterable[Mapping[str, Any]]) -> Mapping[str, Any] | None:
        """The best of the trials that did not fail; None while there is none."""
        ranked = [result for result in results if result["state"] != "FAIL" and is_known(result["value"])]
        return max(ranked, key=self.rank, default=None)

    def of_ensemble(self, ensemble: EnsembleNow) -> str:
        members = "1 member" if ensemble.members == 1 else f"{ensemble.members} members"
        log_loss = "" if self.name == "accuracy" else f", log loss {ensemble.log_loss:.3f}"
        return f"{members}, {100 * ensemble.accuracy:.1f} %{log_loss} cross-fitted"


def epochs_of(config: TrainingConfig) -> int:
    """Of a trial: of all its folds together, where it has any."""
    return config.trial.total_epochs * (config.data.folds or 1)


def is_known(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def one_line(text: str) -> str:
    """``text`` without line breaks and without what a terminal would obey."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


class Lines:
    """Plain lines to stdout; ``quiet``: only failures and notes, to stderr."""

    def __init__(
        self,
        objective: SearchObjective,
        earlier: Iterable[Mapping[str, Any]] = (),
        *,
        quiet: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.figures, self.quiet = Figures(objective), quiet
        self._best = self.figures.best(earlier)
        self._clock, self._began = clock, clock()
        self._told: dict[int, float] = {}
        self._ensemble = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Nothing to take down."""

    def started(self, number: int, config: TrainingConfig, epochs_done: int) -> None:
        trial = config.trial
        self._told[number] = self._clock()
        goes_on = f", goes on after epoch {epochs_done}" if epochs_done else ""
        folds = f"{config.data.folds} folds of " if config.data.folds else ""
        self._say(f"trial {number:>3} started   {trial.backbone}, {folds}{trial.total_epochs} epochs{goes_on}")

    def reported(self, number: int, report: Mapping[str, Any]) -> None:
        if self._clock() - self._told.get(number, -math.inf) < EVERY_S:
            return
        self._told[number] = self._clock()
        figure = self.figures.text(self.figures.of_look(report))
        fold = f"fold {report['fold']}" if "fold" in report else ""
        self._say(f"trial {number:>3} {fold:<9} epoch {report['epoch']}/{report['epochs']}  {figure}")

    def ended(self, number: int, result: Mapping[str, Any]) -> None:
        if result["state"] == "FAIL":
            return self._say(f"trial {number:>3} FAIL      {one_line(result['reason'])}", must_be_read=True)
        self._best = self.figures.best([*([self._best] if self._best else []), result])
        role = f", {result['role']}" if result["role"] else ""
        reason = f", {one_line(result['reason'])}" if result["reason"] else ""
        best = f"; best {self.figures.of_result(self._best)} (trial {self._best['trial_number']})" if self._best else ""
        where = f"epoch {result['epochs_done']}/{result['epochs']}{role}{reason}"
        self._say(f"trial {number:>3} {result['state']:<9} {self.figures.of_result(result)}  {where}{best}")

    def interrupted(self, number: int, reason: str) -> None:
        self._say(f"trial {number:>3} broke off {one_line(reason)}; goes on")

    def estimated(self, ensemble: EnsembleNow) -> None:
        text = self.figures.of_ensemble(ensemble)
        if text != self._ensemble:
            self._ensemble = text
            self._say(f"ensemble now: {text}")

    def noted(self, text: str) -> None:
        self._say(one_line(text), must_be_read=True)

    def _say(self, text: str, must_be_read: bool = False) -> None:
        if self.quiet and not must_be_read:
            return
        seconds = int(self._clock() - self._began)
        line = f"{seconds // 60:>3}:{seconds % 60:02}  {text}"
        print(line, file=sys.stderr if self.quiet else sys.stdout, flush=True)
