"""Checks on predictions before they become candidates."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from raysearch.predictions import Predictions

SELECTION_SPLIT = "held_out"
SUM_TOLERANCE = 1e-3
"""Largest allowed difference between 1 and the sum of a sample's float32 probabilities."""
NAMED = 5
"""Maximum number of names in a message."""


def find_fault(predictions: Predictions, number: int, view: str, fingerprint: str) -> str | None:
    """Why predictions stored as ``view`` of trial ``number`` cannot be a candidate; None if they can.

    ``fingerprint`` is the data fingerprint of the study.
    """
    ids = predictions.sample_ids
    if predictions.split != SELECTION_SPLIT:
        return f"made on the {predictions.split!r} split; an ensemble may use only {SELECTION_SPLIT!r}"
    if predictions.fingerprint != fingerprint:
        return (
            f"made on other data than study.yaml (fingerprint {predictions.fingerprint[:12]}, not {fingerprint[:12]})"
        )
    if (predictions.trial_number, predictions.view) != (number, view):
        return f"contains predictions of {predictions.name}, not of {number:04d}-{view}"
    if not ids:
        return "contains no samples"
    if len(set(ids)) < len(ids):
        return f"sample ids must be unique, but {list_duplicates(ids)} occurs more than once"
    if not 0 <= predictions.labels.min() <= predictions.labels.max() < len(predictions.classes):
        return f"labels must be class indices from 0 to {len(predictions.classes) - 1}"
    return find_probs_fault(predictions.probs, ids)


def find_probs_fault(probs: np.ndarray, sample_ids: Sequence[str]) -> str | None:
    """Which row of ``probs`` float [samples, classes] is not a probability distribution; None if all are."""
    sums = probs.sum(axis=1, dtype=np.float64)
    valid = (np.abs(sums - 1) <= SUM_TOLERANCE) & (probs.min(axis=1) >= 0)  # False for NaN
    if valid.all():
        return None
    row = int(np.flatnonzero(~valid)[0])
    others = f" (and {len(valid) - valid.sum() - 1} more samples)" if valid.sum() < len(valid) - 1 else ""
    return (
        f"probabilities must be at least 0 and sum to 1, but for sample {sample_ids[row]!r} they sum to {sums[row]:g} "
        f"and the smallest is {probs[row].min():g}{others}"
    )


def list_duplicates(ids: Sequence[str]) -> str:
    """The ``ids`` that occur more than once, for a message."""
    return shorten([repr(name) for name, count in Counter(ids).items() if count > 1])


def shorten(names: Sequence[str]) -> str:
    """The first `NAMED` names, and the number of the others."""
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
