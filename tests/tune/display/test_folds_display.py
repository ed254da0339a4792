import io
import json
from typing import Any

import pytest
from rich.console import Console

from raysearch.config import DataConfig, TrainingConfig, TrialConfig
from raysearch.tune.display.json_lines import JsonLines
from raysearch.tune.display.lines import EVERY_S, Lines
from raysearch.tune.display.live_table import LiveTable

CONFIG = TrainingConfig(data=DataConfig(folds=3), trial=TrialConfig(backbone="wrn_16_2", epochs=10))
REPORT: dict[str, Any] = {
    "value": 0.5,
    "percent": 40.0,
    "epoch": 12,
    "epochs": 30,
    "is_whole": True,
    "seconds": 2.0,
    "fold": 1,
}


def test_lines_name_the_fold_and_count_the_epochs_of_all_folds(capsys: pytest.CaptureFixture[str]) -> None:
    times = iter([0.0, 0.0, 0.0, EVERY_S, EVERY_S, EVERY_S])
    lines = Lines("accuracy", clock=lambda: next(times))
    lines.started(4, CONFIG, 0)
    lines.reported(4, REPORT)
    assert capsys.readouterr().out.splitlines() == [
        "  0:00  trial   4 started   wrn_16_2, 3 folds of 10 epochs",
        "  0:30  trial   4 fold 1    epoch 12/30  50.0 %",
    ]


def test_json_has_the_fold(capsys: pytest.CaptureFixture[str]) -> None:
    lines = JsonLines("accuracy")
    lines.started(4, CONFIG, 0)
    lines.reported(4, REPORT)
    started, reported = map(json.loads, capsys.readouterr().out.splitlines())
    assert started["epochs"] == 30
    assert (reported["fold"], reported["epoch"], reported["epochs"]) == (1, 12, 30)


def test_the_table_s_bar_covers_all_folds() -> None:
    table = LiveTable("accuracy", 5, console=Console(file=io.StringIO(), width=120))
    table.started(4, CONFIG, 0)
    table.reported(4, REPORT)
    with (console := Console(file=io.StringIO(), width=120)).capture() as captured:
        console.print(table.frame())
    assert "12/30" in captured.get()
