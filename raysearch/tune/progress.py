"""What the search tells the terminal: lines while it runs, and at the end the best trials and what comes next."""

import shlex
import time
from collections.abc import Mapping, Sequence
from typing import Any

from optuna.trial import FixedTrial
from rich.console import Console
from rich.table import Table

from raysearch.config import Objective, TrainingConfig
from raysearch.io import read_yaml
from raysearch.paths import StudyPaths
from raysearch.space import Space
from raysearch.train.result import read_result

BY_SCHEDULER = "stopped by the scheduler"
"""A PRUNED trial's reason, unless it was cut off: by the time limit, a signal or its driver's end."""

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
        self._say(f"trial {number:>3} started   {trial.backbone}, {trial.total_epochs} epochs{goes_on}")

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


def print_summary(paths: StudyPaths, space: Space, words: Sequence[str]) -> None:
    """The best trials and the next command. ``words``: the search's own command line."""
    trials = space.search.trials
    results = _results(paths)
    ended = [result for result in results if result["value"] is not None and result["state"] != "FAIL"]
    if ended:
        Console().print(_best_trials(ended))
    cut_off = sum(result["state"] == "PRUNED" and result["reason"] != BY_SCHEDULER for result in ended)
    if len(ended) < trials:
        print(f"\n{len(ended)} of {trials} trials ended. Go on: {_again(words)}")
    elif cut_off:
        more = f"{_again(words)} --trials {trials + cut_off}"
        print(f"\n{cut_off} of the {trials} trials were cut off. As many more: {more}")
    if ended:
        print(f"\nNext: python -m raysearch.ensemble {shlex.quote(str(paths.root))}")


def print_ablation_summary(paths: StudyPaths, space: Space, words: Sequence[str]) -> None:
    """How many of the ablation's trainings are done, and the next command. Its figures are the report's."""
    assert space.ablation is not None
    wanted = [space.trial.suggest(FixedTrial({}), training.fixed) for training in space.ablation.trainings]
    complete = [
        TrainingConfig.model_validate(read_yaml(folder.config)).trial
        for _, folder in paths.trials()
        if (result := read_result(folder)) and result["state"] == "COMPLETE"
    ]
    if missing := sum(trial not in complete for trial in wanted):
        done = len(wanted) - missing
        print(f"\n{done} of {len(wanted)} trainings are complete. Go on: {_again(words)}")
    print(f"\nNext: python -m raysearch.report {shlex.quote(str(paths.root))}")


def _results(paths: StudyPaths) -> list[dict[str, Any]]:
    return [result for _, folder in paths.trials() if (result := read_result(folder))]


def _again(words: Sequence[str]) -> str:
    return f"python -m raysearch.tune {shlex.join(word for word in words if word != '--resume')} --resume"


def _best_trials(ended: Sequence[Mapping[str, Any]]) -> Table:
    sign = -1 if ended[0]["objective"] == "accuracy" else 1
    table = Table(box=None, pad_edge=False)
    for name in ("trial", "state", "value", "backbone", "better role", "epochs"):
        table.add_column(name, justify="right" if name in ("trial", "value", "epochs") else "left")
    for result in sorted(ended, key=lambda r: sign * r["value"])[:5]:
        number, value = str(result["trial_number"]), f"{result['value']:.4f}"
        epochs = f"{result['epochs_done']}/{result['epochs']}"
        table.add_row(number, result["state"], value, result["backbone"], result["role"], epochs)
    return table
