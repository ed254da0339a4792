"""Stops a search early: at its time limit, on Ctrl-C, on SIGTERM."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from raysearch.io import write_text
from raysearch.paths import StudyPaths
from raysearch.tune.listener import Listener


@contextmanager
def stopping(paths: StudyPaths, timeout_s: float | None, began: float, listener: Listener) -> Iterator[None]:
    """Ask running trials to stop after their batch, at the time limit or on the first Ctrl-C or SIGTERM.

    The request is the study's stop file, which every training checks. ``began`` is the start of the command in seconds
    of `time.monotonic`. A second Ctrl-C ends the command at once.
    """

    def ask_to_stop(reason: str) -> None:
        # In a thread: on a full disk the write waits for space, and a signal handler must not wait.
        threading.Thread(target=_write, args=[paths.stop, f"stopped by {reason}"], daemon=True).start()
        listener.noted(f"stopped by {reason}: running trials end after their batch")

    def on_signal(number: int, frame: FrameType | None) -> None:
        for name, handler in before.items():
            signal.signal(name, handler)
        ask_to_stop(signal.Signals(number).name)

    before = {name: signal.signal(name, on_signal) for name in (signal.SIGINT, signal.SIGTERM)}
    left = None if timeout_s is None else max(0.0, timeout_s - (time.monotonic() - began))
    timer = threading.Timer(left or 0.0, ask_to_stop, [f"the time limit of {timeout_s:g} s"]) if timeout_s else None
    if timer:
        timer.daemon = True
        timer.start()
    try:
        yield
    finally:
        if timer:
            timer.cancel()
        paths.stop.unlink(missing_ok=True)
        for name, handler in before.items():
            signal.signal(name, handler)


def _write(stop: Path, text: str) -> None:
    """Write the stop file, and try again while the disk is full."""
    while True:
        try:
            return write_text(stop, text)
        except OSError:
            time.sleep(1.0)
