"""The result of a training, summarised from its files."""

import json
from collections.abc import Mapping
from typing import Any, Literal

from raysearch.config import Objective, is_maximized
from raysearch.io import read_json, write_json
from raysearch.paths import TrialPaths, view_parts
from raysearch.train.figures import select_evaluation

State = Literal["COMPLETE", "PRUNED", "FAIL"]


def read_metrics(paths: TrialPaths) -> list[dict[str, Any]]:
    """Read the lines of `metrics.jsonl`; empty if there is no file. An incomplete last line, left by a kill, is
    skipped."""
    lines = []
    for line in paths.metrics.read_text().splitlines() if paths.metrics.is_file() else ():
        try:
            lines.append(json.loads(line))
        except ValueError:
            break
    return lines


def find_best_line(
    lines: list[dict[str, Any]], role: str, objective: Objective, keeps_latest: bool = False
) -> tuple[dict[str, Any], float] | None:
    """The line of the evaluation whose weights are kept for ``role``, and its smoothed value; None before the first
    one."""
    evaluations = [line for line in lines if "held_out" in line]
    if not evaluations:
        return None
    curve = [line["held_out"][f"{role}-final"][objective] for line in evaluations]
    index, value = select_evaluation(curve, objective, keeps_latest)
    return evaluations[index], value


def summarise(
    paths: TrialPaths, objective: Objective, other_views: Mapping[str, Any] | None = None, keeps_latest: bool = False
) -> dict[str, Any]:
    """Summarise a training: value, best role, figures of the stored predictions, epochs and seconds.

    ``other_views``: figures of the views of `other_inference_modes`.
    """
    lines = read_metrics(paths)
    bests = {
        role: best for role in ("student", "teacher") if (best := find_best_line(lines, role, objective, keeps_latest))
    }
    sign = 1 if is_maximized(objective) else -1
    role = max(bests, key=lambda r: sign * bests[r][1], default=None)
    views = {
        view: {**figures, "epoch": line["epoch"]}
        for name, (line, _) in bests.items()
        for view, figures in line["held_out"].items()
        if view.startswith(name)
    }
    views |= {
        view: {**figures, "epoch": bests[view_parts(view).role][0]["epoch"]}
        for view, figures in (other_views or {}).items()
    }
    return {
        "objective": objective,
        "value": bests[role][1] if role else None,
        "role": role,
        "epochs_done": sum(not line.get("partial", False) for line in lines),
        "seconds": lines[-1]["seconds"] if lines else 0.0,
        "views": views,
    }


def write_result(
    paths: TrialPaths,
    number: int,
    state: State,
    objective: Objective,
    epochs: int,
    backbone: str,
    params: Mapping[str, Any],
    reason: str | None = None,
) -> dict[str, Any]:
    """Write `result.json` and return it. ``params``: the sampled parameters, by Optuna's names."""
    info = read_json(paths.info) if paths.info.is_file() else {"precision": None, "num_parameters": None, "notes": []}
    other_views, keeps_latest = info.pop("other_views", {}), info.pop("keeps_latest", False)
    info.pop("schedule", None)
    if paths.smaller_batches.is_file():
        info["notes"] = [*info["notes"], paths.smaller_batches.read_text()]
    result = {
        "trial_number": number,
        "state": state,
        "reason": reason,
        "epochs": epochs,
        "backbone": backbone,
        "params": dict(params),
        **info,
        **summarise(paths, objective, other_views, keeps_latest),
    }
    write_json(paths.result, result)
    return result


def read_result(paths: TrialPaths) -> dict[str, Any] | None:
    """Read `result.json`; None if the trial has not ended."""
    return read_json(paths.result) if paths.result.is_file() else None
