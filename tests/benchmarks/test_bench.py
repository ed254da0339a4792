"""The harness, with rows that are made up here."""

import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from benchmarks import __main__ as command
from benchmarks import harness, measure
from benchmarks.measure import Measured, PeerMissing
from benchmarks.rows import ROWS


def missing() -> Measured:
    raise PeerMissing("the peer cannot be installed")


def failing() -> Measured:
    raise ZeroDivisionError("no such luck")


MEASURES = {
    "fast": lambda: Measured(2.0, "1 ms", "2 ms", "a note"),
    "slow": lambda: Measured(0.5, "2 ms", "1 ms"),
    "open": missing,
    "failing": failing,
}


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    for name, measured in MEASURES.items():
        module: Any = ModuleType(f"fake_{name}")
        module.NAME, module.BOUND, module.IS_AT_MOST, module.measure = name, 1.0, False, measured
        monkeypatch.setitem(sys.modules, f"fake_{name}", module)
    fakes = {name: f"fake_{name}" for name in MEASURES}
    monkeypatch.setattr(command, "ROWS", fakes)
    return fakes


def make_bench(*words: str) -> Any:
    app = command.typer.Typer()
    app.command()(command.main)
    return CliRunner().invoke(app, list(words))


def json_lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def test_every_row_prints_one_json_line_and_the_others_go_on_after_a_failure(rows: dict[str, str]) -> None:
    result = make_bench()
    assert json_lines(result.stdout) == [
        {"name": "fast", "ratio": 2.0, "bound": 1.0, "ok": True},
        {"name": "slow", "ratio": 0.5, "bound": 1.0, "ok": False},
        {"name": "open", "ratio": None, "bound": 1.0, "ok": None},
        {"name": "failing", "ratio": None, "bound": 1.0, "ok": False},
    ]
    assert result.exit_code == 1


def test_both_sides_notes_and_reasons_are_printed(rows: dict[str, str]) -> None:
    text = make_bench().stdout
    assert "fast: ours 1 ms, peer 2 ms\na note" in text
    assert "open: open, the peer cannot be installed" in text
    assert "failing: NOT OK, ZeroDivisionError: no such luck" in text


def test_the_table_has_every_row_and_commit_machine_and_date_stand_below(rows: dict[str, str]) -> None:
    text = make_bench().stdout
    assert "| fast | 1 ms | 2 ms | 2 | >= 1 | ok |" in text
    assert "| slow | 2 ms | 1 ms | 0.5 | >= 1 | NOT OK |" in text
    assert "| open |  |  |  | >= 1 | open |" in text
    assert text.splitlines()[-1] == harness.circumstances()
    assert harness.processor() in harness.circumstances()


@pytest.mark.parametrize(("name", "code"), [("fast", 0), ("open", 0), ("slow", 1), ("failing", 1)])
def test_one_row_runs_alone_and_only_a_row_that_is_not_ok_fails(rows: dict[str, str], name: str, code: int) -> None:
    result = make_bench("--only", name)
    assert [line["name"] for line in json_lines(result.stdout)] == [name]
    assert result.exit_code == code


def test_an_unknown_name_lists_the_known_ones(rows: dict[str, str]) -> None:
    result = make_bench("--only", "fats")
    assert result.exit_code == 2
    assert "'fats'" in result.stderr
    assert all(name in result.stderr for name in rows)
    assert json_lines(result.stdout) == []


def test_a_row_whose_module_is_missing_is_not_ok() -> None:
    outcome = harness.run_row("lost", "benchmarks.rows.no_such_row")
    assert outcome.ok is False
    assert json.loads(outcome.json_line) == {"name": "lost", "ratio": None, "bound": None, "ok": False}
    assert "no_such_row" in outcome.reason


@pytest.mark.parametrize(("ratio", "is_at_most", "ok"), [(2.0, True, True), (2.01, True, False), (2.0, False, True)])
def test_a_bound_is_met_on_its_own_side(ratio: float, is_at_most: bool, ok: bool) -> None:
    assert harness.Outcome("row", 2.0, is_at_most, Measured(ratio, "", "")).ok is ok


def test_no_number_is_never_ok() -> None:
    assert harness.Outcome("row", 2.0, False, Measured(float("nan"), "", "")).ok is False


def test_pairs_are_taken_by_turns_after_a_warm_up_and_with_one_thread() -> None:
    calls: list[str] = []
    threads: set[int] = set()

    def side(name: str) -> None:
        calls.append(name)
        threads.add(torch.get_num_threads())

    before = torch.get_num_threads()
    ours, peer = measure.paired(lambda: side("a"), lambda: side("b"), pairs=3, repeats=2)
    assert "".join(calls) == "ab" + "aabb" + "bbaa" + "aabb"
    assert len(ours) == len(peer) == 3
    assert threads == {1}
    assert torch.get_num_threads() == before


def test_the_ratio_is_the_median_of_the_pairs_ratios() -> None:
    assert measure.median_ratio([1.0, 8.0, 100.0], [1.0, 4.0, 10.0]) == 2.0
    with pytest.raises(ValueError, match="longer"):
        measure.median_ratio([1.0], [1.0, 2.0])


@pytest.mark.parametrize(("seconds", "shown"), [(1.2345, "1234 ms"), (0.012345, "12.3 ms"), (0.00012345, "0.123 ms")])
def test_milliseconds_are_shown_without_an_exponent(seconds: float, shown: str) -> None:
    assert measure.milliseconds([0.0, seconds, 9.0]) == shown


def test_a_peer_without_its_environment_leaves_the_row_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "PEERS_VENV", tmp_path / "venv")
    with pytest.raises(PeerMissing, match="venv is not installed"):
        measure.peer("script.py")


def test_a_peer_script_runs_in_its_environment_with_its_arguments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure, "HERE", tmp_path)
    monkeypatch.setattr(measure, "PEERS_VENV", tmp_path / "venv")
    (tmp_path / "venv/bin").mkdir(parents=True)
    (tmp_path / "venv/bin/python").symlink_to(sys.executable)
    (tmp_path / "venv/.installed").touch()
    (tmp_path / "peers").mkdir()
    script = "import os, sys; open(sys.argv[1], 'w').write(os.environ['OMP_NUM_THREADS']); sys.exit(int(sys.argv[2]))"
    (tmp_path / "peers/script.py").write_text(script)
    measure.peer("script.py", str(tmp_path / "a file"), "0")
    assert (tmp_path / "a file").read_text() == "1"
    with pytest.raises(subprocess.CalledProcessError):
        measure.peer("script.py", str(tmp_path / "a file"), "3")


def test_the_table_of_rows_names_their_modules() -> None:
    assert all(module == f"benchmarks.rows.{name}" for name, module in ROWS.items())
