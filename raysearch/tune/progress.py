"""What the search tells the terminal: a line when a trial starts and ends, and now and then how far it is."""

import time
from collections.abc import Mapping
from typing import Any

from raysearch.config import Objective, TrainingConfig

EVERY_S = 30.0
"""Seconds between two lines on a running trial."""


class Lines:
    """Plain lines to stdout."""

    def __init__(self, objective: Objective) -> None:
        self.objective = objective
        self._started = time.monotonic()
        self._told: dict[int, float] = {}
        self._best: tuple[float, int] | None = None

    def started(self, number: int, config: TrainingConfig, epochs_done: int) -> None:
        trial = config.trial
        self._told[number] = time.monotonic()
        goes_on = f", goes on after epoch {epochs_done}" if epochs_done else ""
        self._say(f"trial {number:>3} started   {trial.backbone}, {trial.epochs} epochs{goes_on}")

    def reported(self, number: int, report: Mapping[str, Any]) -> None:
        if time.monotonic() - self._told.get(number, 0) < EVERY_S:
            return
        self._told[number] = time.monotonic()
        figure = self._figure(report["value"])
        self._say(f"trial {number:>3}           epoch {report['epoch']}/{report['epochs']}  {figure}")

    def ended(self, number: int, result: Mapping[str, Any]) -> None:
        if result["state"] == "FAIL":
            self._say(f"trial {number:>3} FAIL      {result['reason']}")
            return
        value, sign = result["value"], 1 if self.objective == "accuracy" else -1
        if self._best is None or sign * value > sign * self._best[0]:
            self._best = (value, number)
        where = f"epoch {result['epochs_done']}/{result['epochs']}, {result['role']}"
        best = f"best {self._figure(self._best[0])} (trial {self._best[1]})"
        self._say(f"trial {number:>3} {result['state']:<9} {self._figure(value)}  {where}; {best}")

    def _figure(self, value: float) -> str:
        return f"{100 * value:.1f} %" if self.objective == "accuracy" else f"log loss {value:.3f}"

    def _say(self, text: str) -> None:
        seconds = int(time.monotonic() - self._started)
        print(f"{seconds // 60:>3}:{seconds % 60:02}  {text}", flush=True)
