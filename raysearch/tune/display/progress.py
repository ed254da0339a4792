"""Chooses how a search shows its progress (live table, plain lines or JSON lines), and shows one event at a time."""

import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Protocol, Self

from rich.console import Console

from raysearch.config import TrainingConfig
from raysearch.space.schema import SearchObjective
from raysearch.tune.display.json_lines import JsonLines
from raysearch.tune.display.lines import Lines
from raysearch.tune.display.live_table import LiveTable
from raysearch.tune.listener import EnsembleNow, Listener


class Display(Listener, Protocol):
    """A listener that shows the events. It is a context manager: entered before the search, left after it."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: object) -> None: ...


def choose_display(
    objective: SearchObjective,
    trials: int,
    *,
    quiet: bool = False,
    as_json: bool = False,
    earlier: Iterable[Mapping[str, Any]] = (),
) -> Display:
    """The live table if stdout is a terminal, else plain lines.

    ``quiet``: only failures and notes, as plain lines to stderr. ``as_json``: only JSON lines on stdout, also with
    ``quiet``. ``trials`` is the total number of trials; ``earlier`` are the `result.json` of those that ended before
    this process.
    """
    if as_json:
        return SerialDisplay(JsonLines(objective))
    if quiet or not _can_redraw():
        return SerialDisplay(Lines(objective, earlier, quiet=quiet))
    return SerialDisplay(LiveTable(objective, trials, earlier))


def _can_redraw() -> bool:
    """Whether stdout is a terminal that can redraw lines."""
    console = Console()
    # isatty too: with FORCE_COLOR, rich takes a log file for a terminal.
    return sys.stdout.isatty() and console.is_interactive and console.encoding.startswith("utf")


class SerialDisplay:
    """Wraps a display for calls from several threads and from signal handlers: shows one event at a time, in order.

    An event that arrives while another is being shown is queued, and the thread that shows the other one shows it next.
    So no caller waits, and a signal handler that interrupts a print cannot write into it or deadlock. If the terminal
    or the pipe is closed, further events are not shown and the search continues.
    """

    def __init__(self, display: Display) -> None:
        self.display = display
        self._calls: deque[Callable[[], None]] = deque()
        self._lock = threading.Lock()
        self._is_lost = False

    def __enter__(self) -> Self:
        self.display.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        with suppress(OSError):
            self.display.__exit__(*error)

    def started(self, number: int, config: TrainingConfig, epochs_done: int) -> None:
        self._call(partial(self.display.started, number, config, epochs_done))

    def reported(self, number: int, report: Mapping[str, Any]) -> None:
        self._call(partial(self.display.reported, number, report))

    def ended(self, number: int, result: Mapping[str, Any]) -> None:
        self._call(partial(self.display.ended, number, result))

    def interrupted(self, number: int, reason: str) -> None:
        self._call(partial(self.display.interrupted, number, reason))

    def estimated(self, ensemble: EnsembleNow) -> None:
        self._call(partial(self.display.estimated, ensemble))

    def noted(self, text: str) -> None:
        self._call(partial(self.display.noted, text))

    def _call(self, call: Callable[[], None]) -> None:
        self._calls.append(call)
        # Checked again after each release, because other threads may have queued events meanwhile.
        while self._calls and self._lock.acquire(blocking=False):
            try:
                self._show_next()
            finally:
                self._lock.release()

    def _show_next(self) -> None:
        """Show the next event, if another thread has not shown it already. The caller holds the lock."""
        call = self._calls.popleft() if self._calls else None
        if call and not self._is_lost:
            try:
                call()
            except OSError:
                self._is_lost = True
