"""What the trainings of a trial with `data.folds` make together: a mean curve, and predictions of every labelled image.

Each image's are those of the one training that did not learn from it: cross-validation's (Stone 1974, "Cross-validatory
choice and assessment of statistical predictions"), so that all labelled images judge.
"""

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import fmean
from typing import Any

import numpy as np

from raysearch.config import Objective
from raysearch.errors import PredictionsError
from raysearch.io import display_path, write_json, write_text
from raysearch.paths import TrialPaths, view_parts
from raysearch.predictions import Predictions, joint_sha256, read_predictions, write_predictions
from raysearch.train.figures import accuracy, log_loss
from raysearch.train.result import State, read_metrics, read_result

OF_ANY_FOLD = ("precision", "device", "num_parameters")
"""Facts of `result.json` that are the same in every fold."""


def average_lines(folds: Sequence[TrialPaths]) -> list[dict[str, Any]]:
    """A line of metrics for every epoch that all of ``folds`` have done: their means; `seconds` are their sum."""
    return [_mean_line(lines) for lines in zip(*map(read_metrics, folds), strict=False)]


def write_means(trial: TrialPaths, folds: Sequence[TrialPaths]) -> list[dict[str, Any]]:
    """`average_lines` into the trial's own `metrics.jsonl`."""
    lines = average_lines(folds)
    write_text(trial.metrics, "".join(json.dumps(line) + "\n" for line in lines))
    return lines


def merge_folds(folds: Sequence[TrialPaths]) -> dict[str, Predictions]:
    """By view that all of ``folds`` have: the probabilities of all their held-out images, in the order of the ids.

    Raises `PredictionsError`: a file is malformed, of other data than the others, or an image stands in two.
    """
    found = [_views_of(fold) for fold in folds]
    views = [view for view in found[0] if all(view in others for others in found)]
    return {view: _joined(folds, [of_fold[view] for of_fold in found]) for view in views}


def write_joint_result(
    trial: TrialPaths,
    folds: Sequence[TrialPaths],
    number: int,
    state: State,
    objective: Objective,
    epochs: int,
    backbone: str,
    params: Mapping[str, Any],
    reason: str | None = None,
) -> dict[str, Any]:
    """Write the trial's out-of-fold predictions, its mean curve, and then `result.json`, which is returned.

    ``epochs``: of one training; the file has those of all. Its value is the figure of the out-of-fold predictions by
    the better role's final head. Of a trial that is FAIL nothing is merged. Raises `PredictionsError` as `merge_folds` does,
    and when there is no view that all folds have.
    """
    predictions = merge_folds(folds) if state != "FAIL" else {}
    for view, found in predictions.items():
        write_predictions(trial.predictions(view), found)
    write_means(trial, folds)
    figures = {view: _figures(found) for view, found in predictions.items()}
    role = _better_role(figures, objective)
    if state != "FAIL" and role is None:
        raise PredictionsError(f"{display_path(trial.root)}: no role has predictions in all folds")
    result = {
        "trial_number": number,
        "state": state,
        "reason": reason,
        "epochs": epochs * len(folds),
        "backbone": backbone,
        "params": dict(params),
        "folds": len(folds),
        **_facts_of(folds),
        "objective": objective,
        "value": figures[f"{role}-final"][objective] if role else None,
        "role": role,
        **_spent_on(folds),
        "views": {view: {**found, "epochs": _epochs_of(folds, view)} for view, found in figures.items()},
    }
    write_json(trial.result, result)
    return result


def _mean_line(lines: Sequence[dict[str, Any]]) -> dict[str, Any]:
    seconds = round(sum(line["seconds"] for line in lines), 3)
    line = {"epoch": lines[0]["epoch"], "seconds": seconds, "lr": lines[0]["lr"], "train": _means(lines, "train")}
    if all("held_out" in one for one in lines):
        looks = [one["held_out"] for one in lines]
        line["held_out"] = {view: _means(looks, view) for view in looks[0] if all(view in look for look in looks)}
    return {**line, "partial": True} if any(one.get("partial") for one in lines) else line


def _means(sections: Sequence[Mapping[str, Any]], key: str) -> dict[str, float]:
    """Of the figures that all of ``sections`` have under ``key``."""
    figures = [section[key] for section in sections]
    return {name: fmean(one[name] for one in figures) for name in figures[0] if all(name in one for one in figures)}


def _views_of(fold: TrialPaths) -> dict[str, Predictions]:
    """Those of the weights that are kept: a training that was stopped and went on may have left others."""
    found = {view: read_predictions(fold.predictions(view)) for view in fold.stored_views()}
    kept = {role: found[f"{role}-final"].weights_sha256 for role in ("student", "teacher") if f"{role}-final" in found}
    return {view: one for view, one in found.items() if one.weights_sha256 == kept.get(view_parts(view).role)}


def _joined(folds: Sequence[TrialPaths], parts: Sequence[Predictions]) -> Predictions:
    first = parts[0]
    for fold, part in zip(folds, parts, strict=True):
        if (part.classes, part.fingerprint) != (first.classes, first.fingerprint):
            where, other = display_path(fold.predictions(first.view)), display_path(folds[0].predictions(first.view))
            raise PredictionsError(f"{where}: of other data than {other}")
    ids = [sample_id for part in parts for sample_id in part.sample_ids]
    order = sorted(range(len(ids)), key=ids.__getitem__)
    if twice := next((ids[a] for a, b in pairwise(order) if ids[a] == ids[b]), None):
        raise PredictionsError(f"{display_path(folds[0].root.parent)}: {twice!r} is held out in two folds")
    return Predictions(
        sample_ids=tuple(ids[at] for at in order),
        labels=np.concatenate([part.labels for part in parts])[order],
        probs=np.concatenate([part.probs for part in parts])[order],
        classes=first.classes,
        split=first.split,
        fingerprint=first.fingerprint,
        trial_number=first.trial_number,
        view=first.view,
        weights_sha256=joint_sha256([part.weights_sha256 for part in parts]),
    )


def _figures(predictions: Predictions) -> dict[str, float]:
    probs, labels = predictions.probs, predictions.labels
    return {"accuracy": accuracy(probs, labels), "log_loss": log_loss(probs, labels)}


def _better_role(figures: Mapping[str, Mapping[str, float]], objective: Objective) -> str | None:
    """Of equals the student; None where neither has predictions."""
    sign = 1 if objective == "accuracy" else -1
    roles = [role for role in ("student", "teacher") if f"{role}-final" in figures]
    return max(roles, key=lambda role: sign * figures[f"{role}-final"][objective], default=None)


def _facts_of(folds: Sequence[TrialPaths]) -> dict[str, Any]:
    """What the folds' results say of their networks; of latencies the smallest, of equal notes one."""
    results = [result for fold in folds if (result := read_result(fold))]
    first = next(iter(results), {})
    facts = {name: first.get(name) for name in OF_ANY_FOLD}
    latencies = [result.get("latency_ms", {}) for result in results]
    names = dict.fromkeys(name for latency in latencies for name in latency)
    smallest = {name: min(latency[name] for latency in latencies if name in latency) for name in names}
    notes = list(dict.fromkeys(note for result in results for note in result["notes"]))
    return {**facts, "notes": notes, **({"latency_ms": smallest} if smallest else {})}


def _spent_on(folds: Sequence[TrialPaths]) -> dict[str, Any]:
    """Whole epochs and seconds of all folds together."""
    curves = [lines for fold in folds if (lines := read_metrics(fold))]
    return {
        "epochs_done": sum(not line.get("partial", False) for lines in curves for line in lines),
        "seconds": round(sum(lines[-1]["seconds"] for lines in curves), 3),
    }


def _epochs_of(folds: Sequence[TrialPaths], view: str) -> list[int | None]:
    """Each fold's epoch of the weights that made a view."""
    results = [read_result(fold) or {} for fold in folds]
    return [result.get("views", {}).get(view, {}).get("epoch") for result in results]
