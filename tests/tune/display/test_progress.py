"""What whoever watches a search gets to see: which display is chosen, and what holds for all of them."""

import os
import pty
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from watched_search import PAUSE, Terminal, config, result, search

from raysearch.tune.display.json_lines import JsonLines
from raysearch.tune.display.lines import Lines
from raysearch.tune.display.progress import Display, SerialDisplay, choose_display

# All displays.

DISPLAYS: dict[str, Callable[[Any], Display]] = {
    "table": lambda objective: Terminal(objective=objective).table,
    "lines": Lines,
    "quiet lines": lambda objective: Lines(objective, quiet=True),
    "json": JsonLines,
}


@pytest.mark.parametrize("objective", ["accuracy", "log_loss", "ensemble_gain"])
@pytest.mark.parametrize("make", DISPLAYS.values(), ids=list(DISPLAYS))
def test_every_display_takes_a_whole_search_and_leaves_the_streams_as_they_were(
    make: Callable[[Any], Display], objective: str
) -> None:
    before = sys.stdout, sys.stderr
    with make(objective) as display:
        search(display)
    assert (sys.stdout, sys.stderr) == before


@pytest.mark.parametrize("make", DISPLAYS.values(), ids=list(DISPLAYS))
def test_every_display_ends_at_an_exception(make: Callable[[Any], Display]) -> None:
    before, threads = (sys.stdout, sys.stderr), threading.active_count()
    with suppress(KeyboardInterrupt), make("accuracy") as display:
        display.started(0, config(), 0)
        raise KeyboardInterrupt
    assert (sys.stdout, sys.stderr) == before
    assert threading.active_count() <= threads + 1, "the redrawing thread ends at its next tick"


@pytest.mark.parametrize("quiet", [False, True])
def test_failures_and_notes_are_never_left_out(quiet: bool, capsys: pytest.CaptureFixture[str]) -> None:
    search(Lines("accuracy", quiet=quiet))
    printed = "".join(capsys.readouterr())
    assert "trial   2 FAIL      OutOfMemoryError: tried to allocate" in printed
    assert PAUSE in printed


# Who is told, and when.


def on_a_terminal(monkeypatch: pytest.MonkeyPatch, term: str) -> str:
    """All that a search writes where stdout is a real terminal."""
    leader, follower = pty.openpty()
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", term)
    with os.fdopen(follower, "w", encoding="utf-8") as stdout, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", stdout)
        with choose_display("accuracy", 3) as display:
            display.ended(0, result(0))
    written = b""
    with os.fdopen(leader, "rb", buffering=0) as screen, suppress(OSError):  # how a terminal's end is told
        while more := screen.read(1 << 16):
            written += more
    return written.decode()


def test_a_terminal_gets_the_live_table(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "1 of 3 trials ended" in on_a_terminal(monkeypatch, "xterm-256color")


def test_a_terminal_that_cannot_redraw_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    line = "  0:00  trial   0 COMPLETE  50.0 %  epoch 3/10, teacher; best 50.0 % (trial 0)\r\n"
    assert on_a_terminal(monkeypatch, "dumb") == line


def test_a_log_file_gets_lines_even_where_colours_are_forced(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    with choose_display("accuracy", 3) as display:
        display.noted("a note")
    assert capsys.readouterr().out == "  0:00  a note\n"


class Recorder(Lines):
    """Does something in the midst of every line it shows."""

    def __init__(self, meanwhile: Callable[[str], object]) -> None:
        super().__init__("accuracy")
        self.meanwhile = meanwhile
        self.seen: list[str] = []

    def noted(self, text: str) -> None:
        self.seen.append(f"{text} begins")
        self.meanwhile(text)
        self.seen.append(f"{text} ends")


def test_a_signal_handler_that_interrupts_a_line_is_shown_after_it() -> None:
    display: SerialDisplay
    recorder = Recorder(lambda text: display.noted("stopped by SIGINT") if text == "a line" else None)
    display = SerialDisplay(recorder)
    display.noted("a line")
    told = ["a line begins", "a line ends", "stopped by SIGINT begins", "stopped by SIGINT ends"]
    assert recorder.seen == told


def test_calls_from_many_threads_are_shown_one_at_a_time_and_none_is_lost() -> None:
    recorder = Recorder(lambda text: threading.Event().wait(0.0001))
    display = SerialDisplay(recorder)

    def tell(name: str) -> None:
        for index in range(50):
            display.noted(f"{name}{index}")

    threads = [threading.Thread(target=tell, args=[name]) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    begun, ended = recorder.seen[::2], recorder.seen[1::2]
    assert [text.removesuffix(" begins") for text in begun] == [text.removesuffix(" ends") for text in ended]
    for name in "abcd":
        assert [text for text in begun if text[0] == name] == [f"{name}{index} begins" for index in range(50)]


def test_a_closed_pipe_ends_the_display_and_not_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    lost = os.fdopen(writer, "w", encoding="utf-8")
    monkeypatch.setattr(sys, "stdout", lost)
    with choose_display("accuracy", 3) as display:
        search(display)
    with pytest.raises(BrokenPipeError):
        lost.close()
