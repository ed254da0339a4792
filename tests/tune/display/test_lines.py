"""A search as plain lines and as JSON lines."""

import json
import re
from dataclasses import replace

import pytest
from watched_search import ENSEMBLE, OOM, PAUSE, Clock, config, report, result, search

from raysearch.tune.display.json_lines import JsonLines
from raysearch.tune.display.lines import Lines
from raysearch.tune.display.progress import choose_display

# Plain lines.


def test_lines_show_every_event(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with Lines("accuracy", clock=clock) as lines:
        clock.now += 61
        search(lines)
    printed = capsys.readouterr().out.splitlines()
    assert [line[:6] for line in printed] == ["  1:01"] * len(printed)
    texts = [line[8:] for line in printed]
    assert "trial   0 started   wrn_16_2, 10 epochs" in texts
    assert "trial   0 restarts  its process died (node lost)" in texts
    assert "trial   0 started   wrn_16_2, 10 epochs, resumes after epoch 2" in texts
    assert "trial   1 PRUNED    12.5 %  epoch 3/10, teacher, stopped by the scheduler; best 12.5 % (trial 1)" in texts
    assert "trial   0 COMPLETE  56.8 %  epoch 3/10, teacher; best 56.8 % (trial 0)" in texts
    assert texts.count("ensemble now: 5 members, 60.1 % cross-fitted") == 1
    (failed,) = (text for text in texts if "FAIL" in text)
    assert "[red]of[/red] 16 GiB; " in failed
    assert failed.isprintable()


def test_lines_name_a_balanced_accuracy(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with Lines("balanced_accuracy", clock=clock) as lines:
        lines.started(0, config(10), 0)
        clock.now += 60
        lines.reported(0, report(1, 0.125, 10))
        lines.estimated(replace(ENSEMBLE, balanced_accuracy=0.55))
        lines.ended(0, result(0, "COMPLETE", 0.568))
    printed = capsys.readouterr().out
    assert "epoch 1/10  balanced accuracy 12.5 %" in printed
    assert "ensemble now: 5 members, balanced accuracy 55.0 % cross-fitted" in printed
    assert "COMPLETE  balanced accuracy 56.8 %" in printed


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


def test_lines_show_an_ensemble_only_when_it_changed(capsys: pytest.CaptureFixture[str]) -> None:
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


def test_quiet_prints_only_failures_and_notes(capsys: pytest.CaptureFixture[str]) -> None:
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


def test_reports_of_a_search_by_gain_are_log_losses_in_json_like_its_results(
    capsys: pytest.CaptureFixture[str],
) -> None:
    JsonLines("ensemble_gain").reported(0, report(1, -1.25))
    told = json.loads(capsys.readouterr().out)
    assert (told["objective"], told["value"]) == ("log_loss", 1.25)
