"""A small search with everything in it, made by hand, and a terminal to show it in."""

import io
import re
from typing import Any

from rich.console import Console

from raysearch.config import DataConfig, TrainingConfig, TrialConfig
from raysearch.tune.display.live_table import LiveTable
from raysearch.tune.display.progress import Display
from raysearch.tune.listener import EnsembleNow
from raysearch.tune.values import BY_SCHEDULER

OOM = "OutOfMemoryError: tried to allocate 2 GiB [red]of[/red] 16 GiB;\n\x1b[31msee error.txt " + "of the trial " * 20
PAUSE = "the disk has 0.3 GB left and 1 GB is wanted: the search goes on when room has been made, and nothing is lost"
ENSEMBLE = EnsembleNow(members=5, accuracy=0.601, log_loss=1.198)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def config(epochs: int = 10, backbone: str = "wrn_16_2") -> TrainingConfig:
    trial = TrialConfig(backbone=backbone, epochs=epochs)
    return TrainingConfig(data=DataConfig(), objective="accuracy", trial=trial)


def report(epoch: int, value: float, epochs: int = 10) -> dict[str, Any]:
    """As Tune hands it on, with keys of its own."""
    told = {"value": value, "percent": 100 * epoch / epochs, "epoch": epoch, "epochs": epochs}
    return {**told, "is_whole": True, "seconds": 2.0 * epoch, "trial_id": "ab12", "config": {"number": 0}}


def result(number: int, state: str = "COMPLETE", value: float | None = 0.5, **more: Any) -> dict[str, Any]:
    reason = {"COMPLETE": None, "PRUNED": BY_SCHEDULER, "FAIL": OOM}[state]
    figures = {"student-final": {"accuracy": 0.5, "log_loss": float("nan")}}
    ended = {"trial_number": number, "state": state, "reason": reason, "epochs": 10, "backbone": "wrn_16_2"}
    role = None if value is None else "teacher"
    rest = {"params": {}, "objective": "accuracy", "value": value, "role": role, "epochs_done": 3, "views": figures}
    return {**ended, **rest, **more}


def search(display: Display) -> None:
    """A small search with everything in it."""
    for number in range(3):
        display.started(number, config(), 0)
    display.reported(0, report(1, 0.25))
    display.reported(0, report(2, 0.375))
    display.interrupted(0, "its process died (node lost)")
    display.started(0, config(), 2)
    display.ended(1, result(1, "PRUNED", 0.125))
    display.noted(PAUSE)
    display.estimated(ENSEMBLE)
    display.estimated(ENSEMBLE)
    display.ended(2, result(2, "FAIL", None))
    display.ended(0, result(0, "COMPLETE", 0.568))


class Terminal:
    """A live table in a terminal of this size."""

    def __init__(self, width: int = 120, height: int = 40, objective: Any = "accuracy", **more: Any) -> None:
        self.file, self.clock = io.StringIO(), Clock()
        size = {"width": width, "height": height}
        self.console = Console(file=self.file, force_terminal=True, color_system=None, **size)
        self.table = LiveTable(objective, 200, console=self.console, clock=self.clock, **more)

    def lines(self) -> list[str]:
        """What the table shows now."""
        plain = Console(file=io.StringIO(), width=self.console.width, height=1000, color_system=None)
        with plain.capture() as captured:
            plain.print(self.table.frame())
        return captured.get().splitlines()

    def row(self, number: int) -> list[str]:
        """The cells of a running trial."""
        (found,) = (line for line in self.lines() if re.match(rf" *{number}  ", line))
        return re.split(r"  +", found.strip())

    def written(self) -> str:
        """All that went to the terminal, without the control codes."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", self.file.getvalue())
