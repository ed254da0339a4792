"""What whoever watches a search gets to see: in a terminal, in a log, in JSON, and in the end."""

import io
import json
import os
import pty
import re
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from raysearch.config import DataConfig, TrainingConfig, TrialConfig
from raysearch.io import write_json
from raysearch.paths import StudyPaths
from raysearch.space import space_from
from raysearch.tune.json_lines import JsonLines
from raysearch.tune.lines import Lines
from raysearch.tune.listener import EnsembleNow
from raysearch.tune.live_table import LiveTable
from raysearch.tune.progress import BY_SCHEDULER, Display, InTurn, choose_display
from raysearch.tune.summary import print_summary

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


def many(table: LiveTable, running: int = 64) -> None:
    """A large search in full swing."""
    for number in range(running + 20):
        table.started(number, config(backbone="convnextv2_nano"), 0)
        table.reported(number, report(1, 0.5))
    for number in range(20):
        table.ended(number, result(number, ["COMPLETE", "PRUNED", "FAIL", "PRUNED"][number % 4], 0.01 * number))
    table.estimated(ENSEMBLE)
    table.interrupted(30, "its process died " * 20)
    for _ in range(5):
        table.noted(PAUSE)


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
def test_every_display_is_taken_down_by_an_exception(make: Callable[[Any], Display]) -> None:
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


# The live table.


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40), (60, 12)])
def test_a_crowded_table_fits_the_terminal(width: int, height: int) -> None:
    terminal = Terminal(width, height)
    with terminal.table:
        many(terminal.table)
        lines = terminal.lines()
    assert len(lines) < height
    assert max(len(line) for line in lines) <= width
    (more,) = (int(found[1]) for line in lines if (found := re.fullmatch(r"and (\d+) more", line.strip())))
    shown = [line for line in lines if " 1/10 " in line]
    assert len(shown) + more == 64
    assert lines[0].startswith("15 of 200 trials ended: 5 COMPLETE, 10 PRUNED; 5 FAIL"[: width - 20])


def test_at_80_columns_every_part_is_there() -> None:
    terminal = Terminal(80, 24)
    with terminal.table:
        many(terminal.table)
        terminal.clock.now += 3723
        lines = terminal.lines()
    text = "\n".join(lines)
    assert lines[0] == "15 of 200 trials ended: 5 COMPLETE, 10 PRUNED; 5 FAIL; 64 running        1:02:03"
    assert lines[1].split() == ["trial", "backbone", "epoch", "accuracy", "its", "best", "time", "left"]
    assert "best so far   trial 19, 19.0 %, wrn_16_2, epoch 3/10" in lines
    assert "ensemble now  5 members, 60.1 % cross-fitted" in lines
    assert re.search(r"broke off     trial 30: its process died .*…$", text, re.M)
    assert re.search(r"trial  18  FAIL    epoch 3/10  18.0 %  OutOfMemoryError: tried .*…$", text, re.M)
    assert re.search(r"trial  19  PRUNED  epoch 3/10  19.0 %  stopped by the scheduler *$", text, re.M)
    assert " ".join(line.strip() for line in lines[-2:]) == PAUSE, "the newest note is whole"


def test_a_large_terminal_shows_all_that_runs() -> None:
    terminal = Terminal(120, 100)
    many(terminal.table)
    assert sum("convnextv2_nano" in line for line in terminal.lines()) == 64
    assert not any("more" in line for line in terminal.lines())


def test_a_trial_shows_its_newest_figure_and_its_best() -> None:
    terminal = Terminal()
    terminal.table.started(7, config(), 0)
    assert terminal.row(7)[:3] == ["7", "wrn_16_2", "0/10"]
    assert terminal.row(7)[-3:] == ["-", "-", "-"]
    for epoch, value in enumerate([0.25, 0.5, 0.375], start=1):
        terminal.table.reported(7, report(epoch, value))
    assert terminal.row(7)[2] == "3/10"
    assert terminal.row(7)[-3:-1] == ["37.5 %", "50.0 %"]


@pytest.mark.parametrize(("objective", "sign"), [("log_loss", 1), ("ensemble_gain", -1)])
def test_a_search_by_log_loss_or_gain_shows_log_losses_and_the_least_is_best(objective: str, sign: int) -> None:
    terminal = Terminal(objective=objective)
    terminal.table.started(7, config(), 0)
    for epoch, value in enumerate([1.5, 1.25, 1.75], start=1):
        terminal.table.reported(7, report(epoch, sign * value))
    assert terminal.row(7)[-3:-1] == ["1.750", "1.250"]
    assert any("log loss" in line for line in terminal.lines())


def test_the_best_of_a_search_by_gain_is_the_trial_of_the_greatest_gain() -> None:
    terminal = Terminal(objective="ensemble_gain")
    terminal.table.ended(0, result(0, value=1.0, ensemble_gain=0.001))
    terminal.table.ended(1, result(1, value=1.5, ensemble_gain=0.012))
    terminal.table.ended(2, result(2, "FAIL", 0.5, ensemble_gain=0.5))
    terminal.table.ended(3, result(3, "PRUNED", 0.75))
    assert "best so far   trial 1, gain 0.012, log loss 1.500, wrn_16_2, epoch 3/10" in terminal.lines()


def test_the_time_left_follows_the_trials_own_pace() -> None:
    terminal = Terminal()
    table, clock = terminal.table, terminal.clock
    table.started(0, config(), 0)
    clock.now += 500  # starting up is no epoch
    table.reported(0, report(1, 0.5))
    assert terminal.row(0)[-1] == "-"
    clock.now += 20
    table.reported(0, report(3, 0.5))
    assert terminal.row(0)[-1] == "1:10"
    clock.now += 15
    assert terminal.row(0)[-1] == "0:55", "the clock goes on between two looks"
    clock.now += 500
    assert terminal.row(0)[-1] == "0:00"


def test_a_trial_that_goes_on_is_timed_anew_and_keeps_its_best() -> None:
    terminal = Terminal()
    table, clock = terminal.table, terminal.clock
    table.started(0, config(), 4)
    for epoch in (5, 6):
        table.reported(0, report(epoch, 0.5))
        clock.now += 10
    table.interrupted(0, "its process died")
    assert terminal.row(0)[-1] == "restarts"
    clock.now += 1000
    table.started(0, config(), 6)
    table.reported(0, report(7, 0.25))
    assert terminal.row(0)[-3:] == ["25.0 %", "50.0 %", "-"]
    clock.now += 2
    table.reported(0, report(8, 0.25))
    assert terminal.row(0)[-1] == "0:04"


def test_trials_that_ended_before_this_process_count_once() -> None:
    earlier = [result(0, "COMPLETE", 0.9), result(1, "PRUNED", 0.3)]
    terminal = Terminal(earlier=earlier)
    terminal.table.ended(1, earlier[1])  # told again: its end had not reached the study
    assert terminal.lines()[0].startswith("2 of 200 trials ended: 1 COMPLETE, 1 PRUNED; 0 FAIL")
    assert any("trial 0, 90.0 %" in line for line in terminal.lines())


def test_a_flood_of_pruned_trials_leaves_the_newest_failures_standing() -> None:
    terminal = Terminal()
    terminal.table.ended(0, result(0, "FAIL", None))
    for number in range(1, 30):
        terminal.table.ended(number, result(number, "PRUNED"))
    shown = [int(found[1]) for line in terminal.lines() if (found := re.match(r"trial +(\d+)  ", line))]
    assert shown == [0, 26, 27, 28, 29]


def test_the_last_frame_stays_with_all_failures_and_all_notes_whole() -> None:
    terminal = Terminal(80, 24)
    with terminal.table:
        for number in range(8):
            terminal.table.ended(number, result(number, "FAIL", None))
            terminal.table.noted(f"note {number}: {PAUSE}")
    last = terminal.written().rpartition("0 of 200 trials ended")[2]
    assert [int(number) for number in re.findall(r"trial +(\d) +FAIL", last)] == list(range(8))
    assert " ".join(last.split()).count(PAUSE) == 8
    assert terminal.file.getvalue().endswith("\x1b[?25h"), "the cursor is back"


def test_what_others_print_stands_whole_above_the_table() -> None:
    terminal = Terminal()
    with terminal.table:
        terminal.table.started(0, config(), 0)
        print("a library says [1, 2]")
    written = terminal.written().splitlines()
    assert "a library says [1, 2]" in [line.rstrip() for line in written]


def test_a_smaller_terminal_is_cleared_since_the_old_frame_cannot_be_drawn_over() -> None:
    terminal = Terminal(120, 40)
    clear = "\x1b[2J\x1b[H"
    with terminal.table as table:
        many(table)
        terminal.console.size = (140, 50)
        table._live.refresh()
        assert clear not in terminal.file.getvalue()
        terminal.console.size = (80, 24)
        table._live.refresh()
        table._live.refresh()
    assert terminal.file.getvalue().count(clear) == 1


def test_a_note_before_or_after_the_table_is_printed_at_once() -> None:
    terminal = Terminal()
    terminal.table.noted("before [1]")
    assert terminal.written() == "before [1]\n"
    with terminal.table:
        pass
    terminal.table.noted("after [2]")
    assert terminal.written().endswith("after [2]\n")


# Plain lines.


def test_lines_tell_of_everything_that_happens(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with Lines("accuracy", clock=clock) as lines:
        clock.now += 61
        search(lines)
    printed = capsys.readouterr().out.splitlines()
    assert [line[:6] for line in printed] == ["  1:01"] * len(printed)
    texts = [line[8:] for line in printed]
    assert "trial   0 started   wrn_16_2, 10 epochs" in texts
    assert "trial   0 broke off its process died (node lost); goes on" in texts
    assert "trial   0 started   wrn_16_2, 10 epochs, goes on after epoch 2" in texts
    assert "trial   1 PRUNED    12.5 %  epoch 3/10, teacher, stopped by the scheduler; best 12.5 % (trial 1)" in texts
    assert "trial   0 COMPLETE  56.8 %  epoch 3/10, teacher; best 56.8 % (trial 0)" in texts
    assert texts.count("ensemble now: 5 members, 60.1 % cross-fitted") == 1
    (failed,) = (text for text in texts if "FAIL" in text)
    assert "[red]of[/red] 16 GiB; " in failed
    assert failed.isprintable()


def test_a_running_trial_has_a_line_every_thirty_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    lines = Lines("log_loss", clock=clock)
    lines.started(0, config(100), 0)
    for epoch in range(1, 101):
        clock.now += 1
        lines.reported(0, report(epoch, 1.234, 100))
    printed = capsys.readouterr().out.splitlines()[1:]
    assert [line[8:] for line in printed] == [
        f"trial   0           epoch {epoch}/100  log loss 1.234" for epoch in (30, 60, 90)
    ]


def test_lines_tell_of_an_ensemble_that_changed(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines("log_loss")
    for ensemble in (ENSEMBLE, replace(ENSEMBLE, members=1), replace(ENSEMBLE, members=1, accuracy=0.61)):
        lines.estimated(ensemble)
        lines.estimated(replace(ensemble, accuracy=ensemble.accuracy + 1e-5))
    assert [line[8:] for line in capsys.readouterr().out.splitlines()] == [
        "ensemble now: 5 members, 60.1 %, log loss 1.198 cross-fitted",
        "ensemble now: 1 member, 60.1 %, log loss 1.198 cross-fitted",
        "ensemble now: 1 member, 61.0 %, log loss 1.198 cross-fitted",
    ]


def test_lines_name_the_best_of_all_processes(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines("accuracy", [result(0, value=0.9), result(1, "FAIL", 0.95)])
    lines.ended(2, result(2, value=0.5))
    lines.ended(3, result(3, "PRUNED", None))
    lines.ended(4, result(4, value=float("nan")))
    assert capsys.readouterr().out.count("; best 90.0 % (trial 0)") == 3


def test_quiet_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    with choose_display("accuracy", 3, quiet=True) as display:
        search(display)
    printed = capsys.readouterr()
    assert printed.out == ""
    note, failure = printed.err.splitlines()
    assert PAUSE in note
    assert "FAIL" in failure


# JSON lines.


def refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is not JSON")


def test_every_event_is_one_line_of_valid_json_and_nothing_else_is_on_stdout(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with choose_display("accuracy", 3, as_json=True, quiet=True) as display:
        print("a library's own words")
        search(display)
    printed = capsys.readouterr()
    events = [json.loads(line, parse_constant=refuse) for line in printed.out.splitlines()]
    assert printed.err == "a library's own words\n"
    assert [event["event"] for event in events] == [
        *["started"] * 3,
        *["reported"] * 2,
        "interrupted",
        "started",
        "ended",
        "noted",
        *["estimated"] * 2,
        *["ended"] * 2,
    ]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+\+00:00", event.pop("time")) for event in events)
    told = {"objective": "accuracy", "value": 0.25, "percent": 10.0, "is_whole": True, "seconds": 2.0}
    assert events[3] == {"event": "reported", "trial": 0, "epoch": 1, "epochs": 10, **told}
    assert events[6] == {"event": "started", "trial": 0, "backbone": "wrn_16_2", "epochs": 10, "epochs_done": 2}
    assert events[8] == {"event": "noted", "text": PAUSE}
    assert events[9] == {"event": "estimated", "members": 5, "accuracy": 0.601, "log_loss": 1.198}
    failed = events[11]
    assert (failed["trial"], failed["state"], failed["reason"], failed["value"]) == (2, "FAIL", OOM, None)
    assert failed["views"]["student-final"] == {"accuracy": 0.5, "log_loss": None}


def test_looks_of_a_search_by_gain_are_log_losses_in_json_as_its_results_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    JsonLines("ensemble_gain").reported(0, report(1, -1.25))
    told = json.loads(capsys.readouterr().out)
    assert (told["objective"], told["value"]) == ("log_loss", 1.25)


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
    display: InTurn
    recorder = Recorder(lambda text: display.noted("stopped by SIGINT") if text == "a line" else None)
    display = InTurn(recorder)
    display.noted("a line")
    told = ["a line begins", "a line ends", "stopped by SIGINT begins", "stopped by SIGINT ends"]
    assert recorder.seen == told


def test_calls_from_many_threads_are_shown_one_at_a_time_and_none_is_lost() -> None:
    recorder = Recorder(lambda text: threading.Event().wait(0.0001))
    display = InTurn(recorder)

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


def test_a_pipe_that_nobody_reads_ends_the_showing_and_not_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    lost = os.fdopen(writer, "w", encoding="utf-8")
    monkeypatch.setattr(sys, "stdout", lost)
    with choose_display("accuracy", 3) as display:
        search(display)
    with pytest.raises(BrokenPipeError):
        lost.close()


# The end.


def summary(
    root: Path, results: list[dict[str, Any]], words: list[str], capsys: pytest.CaptureFixture[str], **of_search: Any
) -> str:
    """What is printed at the end of a search of three trials with these results and this command line."""
    paths = StudyPaths(root / "toy")
    for ended in results:
        write_json(paths.trial(ended["trial_number"]).result, {**ended, "views": {}})
    space = space_from({"study": "toy", "search": {"trials": 3, **of_search}}, "toy.yaml")
    print_summary(paths, space, words)
    return capsys.readouterr().out


CUT_OFF = "stopped by SIGINT"


@pytest.mark.parametrize(
    ("words", "again"),
    [
        (["toy.yaml"], "toy.yaml"),
        (["toy.yaml", "--resume"], "toy.yaml"),
        (["toy.yaml", "--trials", "3"], "toy.yaml --trials 3"),
        (["toy.yaml", "--trials", "+2", "--resume"], "toy.yaml --trials 3"),
        (["--trials=+2", "toy.yaml"], "toy.yaml --trials 3"),
    ],
)
def test_an_unfinished_search_says_how_to_go_on_with_no_more_trials_than_were_asked_for(
    words: list[str], again: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    printed = summary(tmp_path, [result(0), result(1, "FAIL")], words, capsys)
    assert f"1 of 3 trials ended. Go on: python -m raysearch.tune {again} --resume\n" in printed


@pytest.mark.parametrize("words", [["toy.yaml"], ["toy.yaml", "--trials", "3"], ["toy.yaml", "--trials=+1"]])
def test_trials_that_were_cut_off_are_to_be_followed_by_as_many_more(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = [result(0), *(result(number, "PRUNED", reason=CUT_OFF) for number in (1, 2))]
    printed = summary(tmp_path, results, words, capsys)
    more = "python -m raysearch.tune toy.yaml --trials +2 --resume"
    assert f"2 of the 3 trials were cut off. As many more: {more}\n" in printed


def test_a_finished_search_names_the_next_command_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printed = summary(tmp_path, [result(0), result(1, "PRUNED"), result(2)], ["toy.yaml"], capsys)
    assert "Go on" not in printed
    assert "more" not in printed
    assert f"Next: python -m raysearch.ensemble {tmp_path / 'toy'}\n" in printed


def test_the_best_trials_of_a_search_by_gain_are_those_of_the_greatest_gain(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gains = [0.001, 0.012, None]
    results = [result(number, value=1.0 + number, ensemble_gain=gain) for number, gain in enumerate(gains)]
    head, *rows = summary(tmp_path, results, ["toy.yaml"], capsys, objective="ensemble_gain").splitlines()[:4]
    assert head.split()[:4] == ["trial", "state", "gain", "value"]
    assert [row.split()[:4] for row in rows] == [
        ["1", "COMPLETE", "0.0120", "2.0000"],
        ["0", "COMPLETE", "0.0010", "1.0000"],
        ["2", "COMPLETE", "-", "3.0000"],
    ]
