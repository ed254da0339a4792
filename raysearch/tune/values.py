"""The report that Ray Tune receives of a trial: its keys, and the value that the search optimizes."""

from collections.abc import Mapping
from typing import Any

from raysearch.config import Objective, is_maximized
from raysearch.space.schema import SearchObjective

METRIC = "value"
"""Key of the value that the search optimizes (`value_of`)."""
PROGRESS = "percent"
"""Key of Tune's time attribute: percent of the trial's own epochs. So ASHA's rungs mean the same for trials with
different numbers of epochs."""
BY_SCHEDULER = "stopped by the scheduler"
"""Reason of a PRUNED trial that the scheduler stopped, not a time limit, a signal or the end of the driver."""


def value_of(line: Mapping[str, Any], objective: SearchObjective) -> float:
    """The value of a line of `metrics.jsonl` with an evaluation: the better of student and teacher, final head.

    The ensemble gain of a trial is known only when the trial ends. Until then its value is minus its log loss.
    """
    figure: Objective = "log_loss" if objective == "ensemble_gain" else objective
    values = [line["held_out"][f"{role}-final"][figure] for role in ("student", "teacher")]
    best = max(values) if is_maximized(figure) else min(values)
    return -best if objective == "ensemble_gain" else best


def report_of(line: Mapping[str, Any], objective: SearchObjective, epochs: int) -> dict[str, Any]:
    """Make the report for Tune from a line of `metrics.jsonl`.

    ``epochs``: the training's configured number of epochs. A line has its own number after a time limit changed it.
    """
    epochs = line.get("epochs", epochs)
    return {
        METRIC: value_of(line, objective),
        PROGRESS: 100 * line["epoch"] / epochs,
        "epoch": line["epoch"],
        "epochs": epochs,
        "is_whole": not line.get("partial", False),
        "seconds": line["seconds"],
    }
