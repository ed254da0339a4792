"""The budget of a fit, and how much of it is spent. Both survive a kill."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from raysearch.errors import StudyError
from raysearch.fit.layout import Kind
from raysearch.io import display_path, read_json, write_json
from raysearch.section import Section, list_faults

SAVE_S = 5.0
"""Seconds between two times at which the spent time is written."""


class State(Section):
    """`fit.json`."""

    source: str
    """The labelled images, as an absolute path or `digits`"""
    minutes: float
    """The whole budget"""
    division: Kind | None = None
    """How the labels are used, if the user has said so"""
    spent_s: float = 0.0
    """Seconds in which the fit has run, in all its starts"""


class Clock:
    """Counts the time in which the fit runs. While it runs, it saves the count every few seconds."""

    def __init__(self, path: Path, state: State, began: float) -> None:
        """``began``: start of this command, in seconds of `time.monotonic`."""
        self.path, self.state, self._before, self._began = path, state, state.spent_s, began
        self._ended = threading.Event()

    @property
    def budget_s(self) -> float:
        return 60 * self.state.minutes

    def spent_s(self) -> float:
        return self._before + time.monotonic() - self._began

    @contextmanager
    def running(self) -> Iterator[None]:
        """Save the spent time while the block runs, and at its end."""
        self._save()
        thread = threading.Thread(target=self._save_often, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()
            self._save()

    def _save_often(self) -> None:
        while not self._ended.wait(SAVE_S):
            try:
                self._save()
            except OSError:  # a full disk: the next time may succeed
                continue

    def _save(self) -> None:
        write_json(self.path, self.state.model_copy(update={"spent_s": round(self.spent_s(), 1)}).model_dump())


def read_state(path: Path) -> State:
    """Read `fit.json`. Raises `StudyError` if it is malformed."""
    try:
        return State.model_validate(read_json(path))
    except ValidationError as error:
        raise StudyError(list_faults(State, error, display_path(path))) from error
