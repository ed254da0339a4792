"""What predictions must be to have a say in an ensemble."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from raysearch.predictions import Predictions

SELECTION_SPLIT = "held_out"
SUM_TOLERANCE = 1e-3
"""How far a sample's float32 probabilities may sum from 1."""
NAMED = 5
"""How many of many things a message names."""


def fault_of(predictions: Predictions, number: int, view: str, fingerprint: str) -> str | None:
    """What keeps predictions found as ``view`` of trial ``number`` out of a study's library, if anything does.

    ``fingerprint`` is that of the study's data.
    """
    ids = predictions.sample_ids
    if predictions.split != SELECTION_SPLIT:
        return f"of the {predictions.split!r} split; only {SELECTION_SPLIT!r} may decide on an ensemble"
    if predictions.fingerprint != fingerprint:
        return f"of other data than study.yaml (fingerprint {predictions.fingerprint[:12]}, not {fingerprint[:12]})"
    if (predictions.trial_number, predictions.view) != (number, view):
        return f"holds predictions of {predictions.name}, not of {number:04d}-{view}"
    if not ids:
        return "holds no samples"
    if len(set(ids)) < len(ids):
        return f"{twice(ids)} stands more than once among its samples"
    if not 0 <= predictions.labels.min() <= predictions.labels.max() < len(predictions.classes):
        return f"labels must lie in 0 to {len(predictions.classes) - 1}, the indices of its classes"
    return fault_of_probs(predictions.probs, ids)


def fault_of_probs(probs: np.ndarray, sample_ids: Sequence[str]) -> str | None:
    """Which row of float [samples, classes] is none of probabilities, if one is not."""
    sums = probs.sum(axis=1, dtype=np.float64)
    valid = (np.abs(sums - 1) <= SUM_TOLERANCE) & (probs.min(axis=1) >= 0)  # false of NaN, too
    if valid.all():
        return None
    at = int(np.flatnonzero(~valid)[0])
    others = f" (nor do those of {len(valid) - valid.sum() - 1} others)" if valid.sum() < len(valid) - 1 else ""
    return (
        f"probabilities must be at least 0 and sum to 1, but those of {sample_ids[at]!r} do not: they sum to "
        f"{sums[at]:g}, the smallest is {probs[at].min():g}{others}"
    )


def twice(ids: Sequence[str]) -> str:
    """Those of ``ids`` that are there more than once, for a message."""
    return shortened([repr(name) for name, count in Counter(ids).items() if count > 1])


def shortened(names: Sequence[str]) -> str:
    """The first few of many names."""
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
