"""The live table: what runs, what is best so far, what was pruned or failed, redrawn in place."""

import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from rich.console import Console, Group, RenderableType
from rich.control import Control
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.segment import ControlType
from rich.table import Table
from rich.text import Text

from raysearch.config import TrainingConfig
from raysearch.space.schema import SearchObjective
from raysearch.tune.display.lines import Figures, epochs_of, one_line
from raysearch.tune.listener import EnsembleNow

REDRAWS_PER_S = 2
"""Often enough for a clock in seconds, and no load."""
ENDED_SHOWN = 5
"""Pruned and failed trials in the table: the newest, and always the newest failures."""
FAILED_SHOWN = 2
NOTES_SHOWN = 3
NOTE_LINES = 3
"""At most, of the newest note; the others have one line each."""
MIN_BAR, MAX_BAR = 2, 20
"""Columns of a bar, as the terminal has room for it."""
STYLES = {"COMPLETE": "green", "PRUNED": "yellow", "FAIL": "bold red"}


@dataclass
class Running:
    """A trial that trains, or waits to go on after its process died."""

    backbone: str
    epoch: int
    epochs: int
    waits: bool = False
    value: float | None = None
    best: float | None = None
    first_look: tuple[int, float] | None = None
    """Epoch and clock of its first look since it last started."""
    looked: float = 0.0
    """Clock of its newest look."""

    def left_s(self, now: float) -> float | None:
        """Seconds to its last epoch at its own pace; None before two looks have told the pace."""
        if self.waits or self.first_look is None or self.epoch <= self.first_look[0]:
            return None
        epoch, clock = self.first_look
        pace = (self.looked - clock) / (self.epoch - epoch)
        return max(0.0, pace * (self.epochs - self.epoch) - (now - self.looked))


class LiveTable:
    """Redrawn `REDRAWS_PER_S` times a second while it is entered; its last state stays. What others print meanwhile
    comes to stand above it.

    ``trials``: how many are wanted; ``earlier``: results of those that ended before this process.
    """

    def __init__(
        self,
        objective: SearchObjective,
        trials: int,
        earlier: Iterable[Mapping[str, Any]] = (),
        *,
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.figures, self.trials = Figures(objective), trials
        self._console = console or Console()
        self._clock, self._began = clock, clock()
        self._lock = threading.RLock()  # the redrawing thread reads what the others write
        self._running: dict[int, Running] = {}
        self._ended = {result["trial_number"]: result for result in earlier}
        self._ensemble: EnsembleNow | None = None
        self._broken_off: list[str] = []
        self._notes: list[str] = []
        self._live: Live | None = None
        self._is_last = False

    def __enter__(self) -> Self:
        self._size = self._console.size
        self._live = Live(
            console=self._console,
            get_renderable=self._redraw,
            refresh_per_second=REDRAWS_PER_S,
            redirect_stderr=sys.stderr.isatty(),
        )
        self._live.start(refresh=True)
        return self

    def __exit__(self, *error: object) -> None:
        self._is_last = True
        if self._live:
            self._live.stop()
            self._live = None

    # What happens.

    def started(self, number: int, config: TrainingConfig, epochs_done: int) -> None:
        with self._lock:
            before = self._running.get(number)
            running = Running(config.trial.backbone, epochs_done, epochs_of(config))
            if before:
                running.value, running.best = before.value, before.best
            self._running[number] = running

    def reported(self, number: int, report: Mapping[str, Any]) -> None:
        with self._lock:
            trial, now = self._running[number], self._clock()
            trial.value = value = self.figures.of_look(report)
            trial.best = value if trial.best is None else self.figures.better(trial.best, value)
            trial.epoch, trial.looked = report["epoch"], now
            trial.first_look = trial.first_look or (trial.epoch, now)

    def ended(self, number: int, result: Mapping[str, Any]) -> None:
        with self._lock:
            self._running.pop(number, None)
            self._ended[number] = result

    def interrupted(self, number: int, reason: str) -> None:
        with self._lock:
            if number in self._running:
                self._running[number].waits = True
            self._broken_off.append(f"trial {number}: {one_line(reason)}; goes on")

    def estimated(self, ensemble: EnsembleNow) -> None:
        with self._lock:
            self._ensemble = ensemble

    def noted(self, text: str) -> None:
        if self._live is None:
            return self._console.print(Text(text))
        with self._lock:
            self._notes.append(one_line(text))

    # How it looks.

    def _redraw(self) -> RenderableType:
        size = self._console.size
        if size.width < self._size.width or size.height < self._size.height:
            # What was drawn in the larger terminal is wrapped by the smaller one and cannot be drawn over.
            self._console.control(Control((ControlType.CLEAR,), (ControlType.HOME,)))
        self._size = size
        return self.frame()

    def frame(self) -> RenderableType:
        """The table as it stands, no higher than the terminal; the last one has every running and failed trial and
        every note.
        """
        with self._lock:
            room = sys.maxsize if self._is_last else self._console.height - 1
            foot, notes = self._foot(), self._note_lines()[-max(NOTE_LINES, room // 4) :]
            ended = self._newest_ended(min(ENDED_SHOWN, max(1, room // 2 - len(foot) - len(notes))))
            free = room - 1 - len(foot) - len(ended) - len(notes)
            shown = len(self._running) if len(self._running) < free else max(1, free - 2)
            groups = [[self._head()], self._table(shown), foot, self._ended_table(ended), notes]
        groups = [group for group in groups if group]
        if free - shown - 2 < len(groups):
            return Group(*(line for group in groups for line in group))
        return Group(*(line for group in groups for line in (*group, "")))

    def _head(self) -> RenderableType:
        states = [result["state"] for result in self._ended.values()]
        text = Text(f"{len(states) - states.count('FAIL')} of {self.trials} trials ended")
        for lead, (state, style) in zip((": ", ", ", "; "), STYLES.items(), strict=True):
            text.append(lead).append(f"{states.count(state)} {state}", style if state in states else "dim")
        text.append(f"; {len(self._running)} running" if self._running else "")
        head = Table.grid(expand=True, padding=(0, 2))
        head.add_column(ratio=1, no_wrap=True)
        head.add_column(justify="right", no_wrap=True)
        head.add_row(text, clock_text(self._clock() - self._began))
        return head

    def _table(self, shown: int) -> list[RenderableType]:
        """The first so many of the running trials, and how many more there are."""
        if not self._running:
            return []
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
        table.add_column("trial", justify="right", no_wrap=True)
        table.add_column("backbone", overflow="ellipsis", max_width=self._console.width // 3)
        table.add_column("epoch", justify="right", no_wrap=True)
        table.add_column(width=min(MAX_BAR, max(MIN_BAR, self._console.width - 72)))
        for name in (self.figures.name, "its best", "time left"):
            table.add_column(name, justify="right", no_wrap=True)
        now = self._clock()
        for number, trial in sorted(self._running.items())[:shown]:
            left = trial.left_s(now)
            table.add_row(
                str(number),
                Text(trial.backbone),
                f"{trial.epoch}/{trial.epochs}",
                ProgressBar(total=trial.epochs, completed=trial.epoch, complete_style="cyan", finished_style="cyan"),
                self.figures.short(trial.value),
                self.figures.short(trial.best),
                "restarts" if trial.waits else "-" if left is None else clock_text(left),
            )
        more = len(self._running) - shown
        return [table, Text(f"and {more} more", style="dim")] if more > 0 else [table]

    def _foot(self) -> list[RenderableType]:
        lines = []
        if best := self.figures.best(self._ended.values()):
            where = f"{best['backbone']}, epoch {best['epochs_done']}/{best['epochs']}"
            lines.append(("best so far", f"trial {best['trial_number']}, {self.figures.of_result(best)}, {where}"))
        if self._ensemble:
            lines.append(("ensemble now", self.figures.of_ensemble(self._ensemble)))
        if self._broken_off:
            times = f"{len(self._broken_off)} times, last " if len(self._broken_off) > 1 else ""
            lines.append(("broke off", f"{times}{self._broken_off[-1]}"))
        return [_line((f"{label:<14}", "dim"), text) for label, text in lines]

    def _newest_ended(self, shown: int) -> list[Mapping[str, Any]]:
        """The newest pruned and failed trials: however many are pruned, the newest failures stand."""
        failed = [result for result in self._ended.values() if result["state"] == "FAIL"]
        failed = failed if self._is_last else failed[-min(FAILED_SHOWN, shown) :]
        pruned = [result for result in self._ended.values() if result["state"] == "PRUNED"]
        kept = [*failed, *pruned[len(pruned) - max(0, shown - len(failed)) :]]
        return [result for result in self._ended.values() if result in kept]

    def _ended_table(self, results: Iterable[Mapping[str, Any]]) -> list[RenderableType]:
        table = Table.grid(padding=(0, 2, 0, 0), expand=True)
        for justify in ("left", "left", "right", "right"):
            table.add_column(justify=justify, no_wrap=True)
        table.add_column(ratio=1, overflow="ellipsis", no_wrap=True)
        for result in results:
            table.add_row(
                Text(f"trial {result['trial_number']:>3}", "dim"),
                Text(result["state"], STYLES[result["state"]]),
                f"epoch {result['epochs_done']}/{result['epochs']}",
                self.figures.short(result["value"]),
                Text(one_line(result["reason"] or "")),
            )
        return [table] if table.row_count else []

    def _note_lines(self) -> list[RenderableType]:
        """The newest notes, the newest of all as whole as may be."""
        if not self._notes:
            return []
        if self._is_last:
            return [Text(note) for note in self._notes]
        *older, newest = self._notes[-NOTES_SHOWN:]
        whole = Text(newest).wrap(self._console, self._console.width)[:NOTE_LINES]
        return [*(_line(note) for note in older), *whole]


def _line(*parts: str | tuple[str, str]) -> Text:
    """One line, cut where the terminal ends; a part may have a style."""
    return Text.assemble(*parts, no_wrap=True, overflow="ellipsis")


def clock_text(seconds: float) -> str:
    """``0:07``, ``12:34``, ``1:02:03``."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"
