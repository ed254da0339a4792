"""How a search shows its progress: a live table, plain lines or JSON lines, always told one thing at a time."""

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
    """A listener that shows what it hears. It is entered before the search and left after it, whatever ends it."""

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
    """The live table where stdout is a terminal, else plain lines; with ``quiet`` only failures and notes, to stderr;
    ``as_json``: JSON lines and nothing else on stdout, ``quiet`` or not.

    ``trials``: how many are wanted; ``earlier``: `result.json`s of those that ended before this process.
    """
    if as_json:
        return InTurn(JsonLines(objective))
    if quiet or not _can_redraw():
        return InTurn(Lines(objective, earlier, quiet=quiet))
    return InTurn(LiveTable(objective, trials, earlier))


def _can_redraw() -> bool:
    """Whether stdout is a terminal that can: FORCE_COLOR alone makes a log file none."""
    console = Console()
    return sys.stdout.isatty() and console.is_interactive and console.encoding.startswith("utf")


class InTurn:
    """A display for calls from several threads and from signal handlers: it shows one at a time, in their order.

    A call that comes while another is being shown is left to whoever shows that one. So nobody waits, and a handler
    that interrupts a print neither prints into it nor waits for it for ever. A terminal that went away, or a pipe that
    nobody reads, ends the showing and not the search.
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
        # Looked at again after every release: what came meanwhile has been left to this thread.
        while self._calls and self._lock.acquire(blocking=False):
            try:
                self._show_next()
            finally:
                self._lock.release()

    def _show_next(self) -> None:
        """The lock is held; another thread may have shown the last one already."""
        call = self._calls.popleft() if self._calls else None
        if call and not self._is_lost:
            try:
                call()
            except OSError:
                self._is_lost = True
