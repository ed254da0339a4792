"""What Ray Tune is told of a trial: the keys of a report, and the value that the search decides by."""

from collections.abc import Mapping
from typing import Any

from raysearch.space.schema import SearchObjective

METRIC = "value"
"""Key of the value that decides, as `value_of` computes it."""
PROGRESS = "percent"
"""Key of Tune's time attribute: percent of the trial's own epochs, so that ASHA's rungs mean the same for all."""
BY_SCHEDULER = "stopped by the scheduler"
"""Reason of a PRUNED trial that was not cut off by a time limit, a signal or the end of its driver."""


def value_of(line: Mapping[str, Any], objective: SearchObjective) -> float:
    """The value of a line of `metrics.jsonl` that holds an evaluation: the better of student and teacher, final head.

    The ensemble gain of a trial is known only when it ends. Until then its value is minus its log loss.
    """
    figure = "accuracy" if objective == "accuracy" else "log_loss"
    values = [line["held_out"][f"{role}-final"][figure] for role in ("student", "teacher")]
    best = max(values) if figure == "accuracy" else min(values)
    return -best if objective == "ensemble_gain" else best


def report_of(line: Mapping[str, Any], objective: SearchObjective, epochs: int) -> dict[str, Any]:
    """A line of `metrics.jsonl` as the report that Tune receives; ``epochs``: those that the training is to do."""
    return {
        METRIC: value_of(line, objective),
        PROGRESS: 100 * line["epoch"] / epochs,
        "epoch": line["epoch"],
        "epochs": epochs,
        "is_whole": not line.get("partial", False),
        "seconds": line["seconds"],
    }
