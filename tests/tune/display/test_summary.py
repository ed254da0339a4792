"""What is printed at the end of a search."""

from pathlib import Path
from typing import Any

import pytest
from watched_search import result

from raysearch.io import write_json
from raysearch.paths import StudyPaths
from raysearch.space import space_from
from raysearch.tune.display.summary import print_summary


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
def test_an_unfinished_search_prints_the_command_that_continues_it(
    words: list[str], again: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    printed = summary(tmp_path, [result(0), result(1, "FAIL")], words, capsys)
    assert f"1 of 3 trials ended. To continue: raysearch tune {again} --resume\n" in printed


@pytest.mark.parametrize("words", [["toy.yaml"], ["toy.yaml", "--trials", "3"], ["toy.yaml", "--trials=+1"]])
def test_interrupted_trials_lead_to_a_command_for_as_many_more(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = [result(0), *(result(number, "PRUNED", reason=CUT_OFF) for number in (1, 2))]
    printed = summary(tmp_path, results, words, capsys)
    more = "raysearch tune toy.yaml --trials +2 --resume"
    assert f"2 of the 3 trials were interrupted. To run as many more: {more}\n" in printed


def test_a_finished_search_names_the_next_command_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printed = summary(tmp_path, [result(0), result(1, "PRUNED"), result(2)], ["toy.yaml"], capsys)
    assert "To continue" not in printed
    assert "more" not in printed
    assert f"Next: raysearch ensemble {tmp_path / 'toy'}\n" in printed


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
