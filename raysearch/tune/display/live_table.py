"""The live table of a search: running trials, the best so far, pruned and failed ones, redrawn in place."""

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
from raysearch.tune.display.lines import ValueFormat, count_epochs, one_line
from raysearch.tune.listener import EnsembleNow

REDRAWS_PER_S = 2
"""Enough for a clock that shows seconds, with little load."""
ENDED_SHOWN = 5
"""Most pruned and failed trials in the table. The newest are shown."""
FAILED_SHOWN = 2
"""Failed trials that are shown even if more trials were pruned after them."""
NOTES_SHOWN = 3
NOTE_LINES = 3
"""Most lines of the newest note. Older notes have one line each."""
MIN_BAR, MAX_BAR = 2, 20
"""Width of a progress bar in columns."""
COLUMNS_BESIDE_BAR = 72
"""Columns of the terminal that the rest of a row needs."""
STYLES = {"COMPLETE": "green", "PRUNED": "yellow", "FAIL": "bold red"}


@dataclass
class Running:
    """A trial that trains, or waits to restart after its process died."""

    backbone: str
    epoch: int
    epochs: int
    is_waiting: bool = False
    value: float | None = None
    best: float | None = None
    first_report: tuple[int, float] | None = None
    """Epoch and clock time of the first report since the trial last started"""
    reported_at: float = 0.0
    """Clock time of the newest report"""

    def estimate_left_s(self, now: float) -> float | None:
        """Seconds to the last epoch at the trial's pace; None before its second report."""
        if self.is_waiting or self.first_report is None or self.epoch <= self.first_report[0]:
            return None
        epoch, clock = self.first_report
        pace = (self.reported_at - clock) / (self.epoch - epoch)
        return max(0.0, pace * (self.epochs - self.epoch) - (now - self.reported_at))


class LiveTable:
    """A context manager that redraws the table `REDRAWS_PER_S` times per second. The last table stays on the screen.

    Output of other code appears above the table. ``trials`` is the total number of trials; ``earlier`` are the results
    of those that ended before this process.
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
        self.values, self.trials = ValueFormat(objective), trials
        self._console = console or Console()
        self._clock, self._began = clock, clock()
        self._lock = threading.RLock()  # the thread that redraws reads what other threads write
        self._running: dict[int, Running] = {}
        self._ended = {result["trial_number"]: result for result in earlier}
        self._ensemble: EnsembleNow | None = None
        self._interruptions: list[str] = []
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

    # Events.

    def started(self, number: int, config: TrainingConfig, epochs_done: int) -> None:
        with self._lock:
            before = self._running.get(number)
            running = Running(config.trial.backbone, epochs_done, count_epochs(config))
            if before:
                running.value, running.best = before.value, before.best
            self._running[number] = running

    def reported(self, number: int, report: Mapping[str, Any]) -> None:
        with self._lock:
            trial, now = self._running[number], self._clock()
            trial.value = value = self.values.read_report(report)
            trial.best = value if trial.best is None else self.values.better(trial.best, value)
            trial.epoch, trial.reported_at = report["epoch"], now
            trial.first_report = trial.first_report or (trial.epoch, now)

    def ended(self, number: int, result: Mapping[str, Any]) -> None:
        with self._lock:
            self._running.pop(number, None)
            self._ended[number] = result

    def interrupted(self, number: int, reason: str) -> None:
        with self._lock:
            if number in self._running:
                self._running[number].is_waiting = True
            self._interruptions.append(f"trial {number}: {one_line(reason)}; the trial restarts")

    def estimated(self, ensemble: EnsembleNow) -> None:
        with self._lock:
            self._ensemble = ensemble

    def noted(self, text: str) -> None:
        if self._live is None:
            return self._console.print(Text(text))
        with self._lock:
            self._notes.append(one_line(text))

    # Drawing.

    def _redraw(self) -> RenderableType:
        size = self._console.size
        if size.width < self._size.width or size.height < self._size.height:
            # A smaller terminal has wrapped the lines of the last table, so they cannot be overwritten.
            self._console.control(Control((ControlType.CLEAR,), (ControlType.HOME,)))
        self._size = size
        return self.frame()

    def frame(self) -> RenderableType:
        """The current table, no higher than the terminal. The last table has every failed trial and every note."""
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
        head.add_row(text, format_clock(self._clock() - self._began))
        return head

    def _table(self, shown: int) -> list[RenderableType]:
        """The first ``shown`` running trials, and the number of the others."""
        if not self._running:
            return []
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
        table.add_column("trial", justify="right", no_wrap=True)
        table.add_column("backbone", overflow="ellipsis", max_width=self._console.width // 3)
        table.add_column("epoch", justify="right", no_wrap=True)
        table.add_column(width=min(MAX_BAR, max(MIN_BAR, self._console.width - COLUMNS_BESIDE_BAR)))
        for name in (self.values.name, "its best", "time left"):
            table.add_column(name, justify="right", no_wrap=True)
        now = self._clock()
        for number, trial in sorted(self._running.items())[:shown]:
            left = trial.estimate_left_s(now)
            table.add_row(
                str(number),
                Text(trial.backbone),
                f"{trial.epoch}/{trial.epochs}",
                ProgressBar(total=trial.epochs, completed=trial.epoch, complete_style="cyan", finished_style="cyan"),
                self.values.format_number(trial.value),
                self.values.format_number(trial.best),
                "restarts" if trial.is_waiting else "-" if left is None else format_clock(left),
            )
        more = len(self._running) - shown
        return [table, Text(f"and {more} more", style="dim")] if more > 0 else [table]

    def _foot(self) -> list[RenderableType]:
        lines = []
        if best := self.values.best(self._ended.values()):
            details = f"{best['backbone']}, epoch {best['epochs_done']}/{best['epochs']}"
            lines.append(("best so far", f"trial {best['trial_number']}, {self.values.format_result(best)}, {details}"))
        if self._ensemble:
            lines.append(("ensemble now", self.values.format_ensemble(self._ensemble)))
        if self._interruptions:
            times = f"{len(self._interruptions)} times, last: " if len(self._interruptions) > 1 else ""
            lines.append(("interrupted", f"{times}{self._interruptions[-1]}"))
        return [_line((f"{label:<14}", "dim"), text) for label, text in lines]

    def _newest_ended(self, shown: int) -> list[Mapping[str, Any]]:
        """The newest pruned and failed trials. The newest failures are included, however many trials were pruned."""
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
                self.values.format_number(result["value"]),
                Text(one_line(result["reason"] or "")),
            )
        return [table] if table.row_count else []

    def _note_lines(self) -> list[RenderableType]:
        """The newest notes: the last with up to `NOTE_LINES` lines, the others with one line each."""
        if not self._notes:
            return []
        if self._is_last:
            return [Text(note) for note in self._notes]
        *older, newest = self._notes[-NOTES_SHOWN:]
        wrapped = Text(newest).wrap(self._console, self._console.width)[:NOTE_LINES]
        return [*(_line(note) for note in older), *wrapped]


def _line(*parts: str | tuple[str, str]) -> Text:
    """One line, cut off at the terminal's width. A part may be a pair of text and style."""
    return Text.assemble(*parts, no_wrap=True, overflow="ellipsis")


def format_clock(seconds: float) -> str:
    """``0:07``, ``12:34``, ``1:02:03``."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"
