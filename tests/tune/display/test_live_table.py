"""The live table of a search, in terminals of several sizes."""

import re

import pytest
from watched_search import ENSEMBLE, PAUSE, Terminal, config, report, result

from raysearch.tune.display.live_table import LiveTable


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
    assert re.search(r"interrupted   trial 30: its process died .*…$", text, re.M)
    assert re.search(r"trial  18  FAIL    epoch 3/10  18.0 %  OutOfMemoryError: tried .*…$", text, re.M)
    assert re.search(r"trial  19  PRUNED  epoch 3/10  19.0 %  stopped by the scheduler *$", text, re.M)
    assert " ".join(line.strip() for line in lines[-2:]) == PAUSE, "the newest note is whole"


def test_a_large_terminal_shows_all_that_runs() -> None:
    terminal = Terminal(120, 100)
    many(terminal.table)
    assert sum("convnextv2_nano" in line for line in terminal.lines()) == 64
    assert not any("more" in line for line in terminal.lines())


def test_a_trial_shows_its_newest_value_and_its_best() -> None:
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


def test_a_resumed_trial_is_timed_again_and_keeps_its_best() -> None:
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


def test_output_of_other_code_appears_above_the_table() -> None:
    terminal = Terminal()
    with terminal.table:
        terminal.table.started(0, config(), 0)
        print("a library says [1, 2]")
    written = terminal.written().splitlines()
    assert "a library says [1, 2]" in [line.rstrip() for line in written]


def test_a_smaller_terminal_is_cleared_because_the_old_frame_cannot_be_overwritten() -> None:
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
