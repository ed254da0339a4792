"""Joint results of the trainings of a trial with `data.folds`: a mean curve, and predictions of every labelled image.

The predictions of an image come from the training that held it out, as in cross-validation (Stone 1974,
"Cross-validatory choice and assessment of statistical predictions"). Every labelled image is thus held out once.
"""

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import fmean
from typing import Any

import numpy as np

from raysearch.config import Objective, is_maximized
from raysearch.errors import PredictionsError
from raysearch.io import display_path, write_json, write_text
from raysearch.paths import TrialPaths, view_parts
from raysearch.predictions import Predictions, joint_sha256, read_predictions, write_predictions
from raysearch.train.figures import compute_figures
from raysearch.train.result import State, read_metrics, read_result

OF_ANY_FOLD = ("precision", "device", "num_parameters")
"""Keys of `result.json` with the same value in every fold."""


def average_lines(folds: Sequence[TrialPaths]) -> list[dict[str, Any]]:
    """Mean metrics of every epoch that all ``folds`` have finished. `seconds` is the sum over the folds."""
    return [_average_line(lines) for lines in zip(*map(read_metrics, folds), strict=False)]  # up to the shortest


def write_means(trial: TrialPaths, folds: Sequence[TrialPaths]) -> list[dict[str, Any]]:
    """Write `average_lines` to the trial's `metrics.jsonl`, and return them."""
    lines = average_lines(folds)
    write_text(trial.metrics, "".join(json.dumps(line) + "\n" for line in lines))
    return lines


def merge_folds(folds: Sequence[TrialPaths]) -> dict[str, Predictions]:
    """Join the held-out predictions of all ``folds``, sorted by sample id, for each view that every fold has.

    Raises `PredictionsError` if a file is malformed or of different data, or if two folds hold out the same image.
    """
    by_fold = [_read_views(fold) for fold in folds]
    views = [view for view in by_fold[0] if all(view in predictions for predictions in by_fold)]
    return {view: _join(folds, [predictions[view] for predictions in by_fold]) for view in views}


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
    """Write the trial's out-of-fold predictions and mean curve, and then `result.json`, which is returned.

    ``epochs``: epochs of one training; the file has the sum over the folds. The value is the figure of the out-of-fold
    predictions by the final head of the better role. A trial in state FAIL has no joint predictions.

    Raises `PredictionsError` as `merge_folds` does, and if no role has predictions in all folds.
    """
    predictions = merge_folds(folds) if state != "FAIL" else {}
    for view, joint in predictions.items():
        write_predictions(trial.predictions(view), joint)
    write_means(trial, folds)
    figures = {view: compute_figures(joint.probs, joint.labels) for view, joint in predictions.items()}
    role = _select_role(figures, objective)
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
        **_merge_facts(folds),
        "objective": objective,
        "value": figures[f"{role}-final"][objective] if role else None,
        "role": role,
        **_sum_costs(folds),
        "views": {view: {**scores, "epochs": _list_epochs(folds, view)} for view, scores in figures.items()},
    }
    write_json(trial.result, result)
    return result


def _average_line(lines: Sequence[dict[str, Any]]) -> dict[str, Any]:
    seconds = round(sum(line["seconds"] for line in lines), 3)
    mean = {"epoch": lines[0]["epoch"], "seconds": seconds, "lr": lines[0]["lr"], "train": _average(lines, "train")}
    if all("held_out" in line for line in lines):
        evaluations = [line["held_out"] for line in lines]
        views = [view for view in evaluations[0] if all(view in evaluation for evaluation in evaluations)]
        mean["held_out"] = {view: _average(evaluations, view) for view in views}
    return {**mean, "partial": True} if any(line.get("partial") for line in lines) else mean


def _average(sections: Sequence[Mapping[str, Any]], key: str) -> dict[str, float]:
    """Means of the figures that every section has under ``key``."""
    scores = [section[key] for section in sections]
    names = [name for name in scores[0] if all(name in score for score in scores)]
    return {name: fmean(score[name] for score in scores) for name in names}


def _read_views(fold: TrialPaths) -> dict[str, Predictions]:
    """The stored predictions of the kept weights. A resumed training may have left files of replaced weights."""
    stored = {view: read_predictions(fold.predictions(view)) for view in fold.stored_views()}
    roles = [role for role in ("student", "teacher") if f"{role}-final" in stored]
    kept = {role: stored[f"{role}-final"].weights_sha256 for role in roles}
    return {view: p for view, p in stored.items() if p.weights_sha256 == kept.get(view_parts(view).role)}


def _join(folds: Sequence[TrialPaths], predictions: Sequence[Predictions]) -> Predictions:
    first = predictions[0]
    for fold, of_fold in zip(folds, predictions, strict=True):
        if (of_fold.classes, of_fold.fingerprint) != (first.classes, first.fingerprint):
            where, other = display_path(fold.predictions(first.view)), display_path(folds[0].predictions(first.view))
            raise PredictionsError(f"{where}: different data than {other}")
    ids = [sample_id for of_fold in predictions for sample_id in of_fold.sample_ids]
    order = sorted(range(len(ids)), key=ids.__getitem__)
    if duplicate := next((ids[a] for a, b in pairwise(order) if ids[a] == ids[b]), None):
        raise PredictionsError(f"{display_path(folds[0].root.parent)}: {duplicate!r} is held out in two folds")
    return Predictions(
        sample_ids=tuple(ids[index] for index in order),
        labels=np.concatenate([of_fold.labels for of_fold in predictions])[order],
        probs=np.concatenate([of_fold.probs for of_fold in predictions])[order],
        classes=first.classes,
        split=first.split,
        fingerprint=first.fingerprint,
        trial_number=first.trial_number,
        view=first.view,
        weights_sha256=joint_sha256([of_fold.weights_sha256 for of_fold in predictions]),
    )


def _select_role(figures: Mapping[str, Mapping[str, float]], objective: Objective) -> str | None:
    """The better role, the student if they are equal. None if neither has predictions."""
    sign = 1 if is_maximized(objective) else -1
    roles = [role for role in ("student", "teacher") if f"{role}-final" in figures]
    return max(roles, key=lambda role: sign * figures[f"{role}-final"][objective], default=None)


def _merge_facts(folds: Sequence[TrialPaths]) -> dict[str, Any]:
    """The folds' facts about their networks, with the smallest latencies, and the notes without duplicates."""
    results = [result for fold in folds if (result := read_result(fold))]
    first = next(iter(results), {})
    facts = {name: first.get(name) for name in OF_ANY_FOLD}
    latencies = [result.get("latency_ms", {}) for result in results]
    names = dict.fromkeys(name for latency in latencies for name in latency)
    smallest = {name: min(latency[name] for latency in latencies if name in latency) for name in names}
    notes = list(dict.fromkeys(note for result in results for note in result["notes"]))
    return {**facts, "notes": notes, **({"latency_ms": smallest} if smallest else {})}


def _sum_costs(folds: Sequence[TrialPaths]) -> dict[str, Any]:
    """Finished epochs and seconds of all folds together."""
    curves = [lines for fold in folds if (lines := read_metrics(fold))]
    return {
        "epochs_done": sum(not line.get("partial", False) for lines in curves for line in lines),
        "seconds": round(sum(lines[-1]["seconds"] for lines in curves), 3),
    }


def _list_epochs(folds: Sequence[TrialPaths], view: str) -> list[int | None]:
    """For each fold, the epoch of the weights that made a view."""
    results = [read_result(fold) or {} for fold in folds]
    return [result.get("views", {}).get(view, {}).get("epoch") for result in results]
