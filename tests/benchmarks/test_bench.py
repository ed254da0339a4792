"""The harness, with rows that are made up here, and what the rows of whole searches count."""

import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import optuna
import pytest
import torch
from typer.testing import CliRunner

from benchmarks import __main__ as command
from benchmarks import harness, measure, searches
from benchmarks.measure import Measured, PeerMissing
from benchmarks.rows import ROWS, search_16, trial_overhead
from benchmarks.searches import Search, Taken
from raysearch.paths import StudyPaths


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


def trained(root: Path, in_epochs: list[float]) -> list[Path]:
    """Folders of trainings that took so many seconds in their epochs."""
    for number, seconds in enumerate(in_epochs):
        (root / str(number)).mkdir()
        (root / str(number) / "metrics.jsonl").write_text(json.dumps({"epoch": 1, "seconds": seconds}) + "\n")
    return [root / str(number) for number in range(len(in_epochs))]


def test_a_trials_overhead_leaves_out_the_first_and_the_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = trained(tmp_path, [1.0, 2.0, 2.5, 3.0])
    search = Search(0.0, 99.0, [10.0, 30.0, 33.0, 38.0], [29.0, 32.0, 37.0, 77.0], folders)
    monkeypatch.setattr(trial_overhead, "run_search", lambda *args, **kwargs: search)
    monkeypatch.setattr(trial_overhead, "train_bare", lambda folders: [Taken(2.5, 2.0)] * 4)
    measured = trial_overhead.measure()
    assert measured.ratio == pytest.approx((0.5 + 2.5) / 2)
    assert (measured.ours, measured.peer) == ("4.00 s", "2.50 s")
    assert "no ratio: 0.50, 2.50; in the epochs 0.25, outside 1.25" in measured.note


def test_where_a_search_spends_more_adds_up_to_what_it_spends_more() -> None:
    search = Search(100.0, 150.0, [110.0, 111.0, 125.0], [124.0, 139.0, 145.0], [])
    parts = search_16.split_overhead(search, [Taken(10.0, 9.0), Taken(20.0, 19.0), Taken(18.0, 17.0)])
    assert list(parts.values()) == [10.0, 6.0, 1.0, 4.0, 5.0]
    assert sum(parts.values()) == 50.0 - 48.0 / 2


def test_a_search_on_two_cores_is_open_on_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    outcome = harness.run_row("search_16", ROWS["search_16"])
    assert (outcome.ok, outcome.bound) == (None, 1.15)
    assert "2 cores" in outcome.reason


def test_a_search_with_a_trial_that_failed_is_not_timed(tmp_path: Path) -> None:
    paths = StudyPaths(tmp_path)
    study = optuna.create_study(study_name=searches.STUDY, storage=f"sqlite:///{paths.database}")
    study.tell(study.ask().number, 1.0)
    study.tell(study.ask().number, state=optuna.trial.TrialState.FAIL)
    with pytest.raises(RuntimeError, match="trial 1 of the search ended FAIL"):
        searches.read_search(paths, 0.0, 1.0)


def test_bare_trainings_are_shared_out_and_come_back_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    shares: list[list[str]] = []

    def in_new_process(folders: list[Path]) -> list[Taken]:
        shares.append([folder.name for folder in folders])
        return [Taken(float(folder.name), 0.0) for folder in folders]

    monkeypatch.setattr(searches, "_in_new_process", in_new_process)
    taken = searches.train_bare([Path(str(number)) for number in range(5)], processes=2)
    assert [training.whole for training in taken] == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert sorted(shares) == [["0", "2", "4"], ["1", "3"]]


@pytest.mark.extra
def test_a_search_and_its_trainings_alone_are_timed(tmp_path: Path) -> None:
    search = searches.run_search(tmp_path, trials=3, concurrency=2, epochs=1, eval_every=1)
    bare = searches.train_bare(search.folders, 2)
    assert len(search.starts) == len(search.ends) == len(bare) == 3
    assert search.began < min(search.starts) < max(search.ends) < search.ended
    assert all(0 < training.in_epochs < training.whole for training in bare)
    assert all(searches.in_epochs(folder) > 0 for folder in search.folders)
