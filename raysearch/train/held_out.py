"""A mode at the held-out split: figures of every view, and the best weights of each role kept on disk."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from safetensors.torch import save_file

from raysearch.data.dataset import Dataset
from raysearch.io import replacing, sha256
from raysearch.models import Classifier, Inference
from raysearch.paths import TrialPaths, view_parts
from raysearch.predictions import Predictions, write_predictions
from raysearch.train.figures import accuracy, log_loss
from raysearch.train.inference_mode import InferenceMode

FUSION_WEIGHTS = tuple(twentieths / 20 for twentieths in range(21))
"""Where `find_best_fusion` looks."""


def score_views(
    inferences: Mapping[str, Inference], labels: np.ndarray, fusion: float, mode: InferenceMode
) -> dict[str, dict[str, float]]:
    """Accuracy and log loss of each view of ``mode``; of fused ones also what `find_best_fusion` finds."""
    found = {}
    for role, inference in inferences.items():
        for view, probs in collect_views(role, inference, fusion, mode).items():
            best = find_best_fusion(inference, labels, fusion) if view_parts(view).is_fused else {}
            found[view] = {"accuracy": accuracy(probs, labels), "log_loss": log_loss(probs, labels), **best}
    return found


def find_best_fusion(inference: Inference, labels: np.ndarray, fusion: float) -> dict[str, float]:
    """`best_weight`, of `FUSION_WEIGHTS` the auxiliary head's share of highest accuracy, and that `best_accuracy`.

    Of equals the nearest to ``fusion``, then the smallest. The maximum over the very samples: a bound, no estimate.
    """
    assert inference.aux is not None, "fusion needs an auxiliary head"
    says, other = inference.final.argmax(1), inference.aux.argmax(1)
    # Where both heads name the same class, so does every mean of them.
    at = np.flatnonzero(says != other)
    undecided = Inference(inference.final[at], inference.aux[at], inference.features[at])
    settled = ((says == labels) & (says == other)).sum()
    hits = {weight: (undecided.fused(weight).argmax(1) == labels[at]).sum() for weight in FUSION_WEIGHTS}
    found = {weight: float((settled + count) / len(labels)) for weight, count in hits.items()}
    best = min(found, key=lambda weight: (-found[weight], round(abs(weight - fusion), 6), weight))
    return {"best_weight": best, "best_accuracy": found[best]}


def collect_views(role: str, inference: Inference, fusion: float, mode: InferenceMode) -> dict[str, np.ndarray]:
    """Probabilities by view: with the final head alone and, where there is an auxiliary head, fused with it."""
    views = {mode.view(role, is_fused=False): inference.final}
    if inference.aux is not None:
        views[mode.view(role, is_fused=True)] = inference.fused(fusion)
    return views


def write_best(
    paths: TrialPaths,
    number: int,
    role: str,
    classifier: Classifier,
    inference: Inference,
    dataset: Dataset,
    fusion: float,
    mode: InferenceMode,
) -> None:
    """Write a role's weights, predictions and features: they are of one moment, its best epoch so far."""
    with replacing(paths.weights(role)) as aside:
        save_file({name: t.contiguous() for name, t in classifier.state_dict().items()}, aside)
    _write_views(paths, number, role, collect_views(role, inference, fusion, mode), dataset)
    _write_features(paths.features(role), dataset.splits["held_out"].sample_ids, inference.features)


def write_other_mode(
    paths: TrialPaths,
    number: int,
    role: str,
    classifier: Classifier,
    dataset: Dataset,
    fusion: float,
    mode: InferenceMode,
) -> tuple[dict[str, dict[str, float]], float]:
    """Write a role's predictions by another mode beside those of its kept weights, which ``classifier`` must hold.

    ``dataset``: the training's, at any size. Returns the views' figures, which no line of the metrics holds, and the
    milliseconds an image.
    """
    split = dataset.resized(mode.side, ["held_out"]).splits["held_out"]
    assert split.sample_ids == dataset.splits["held_out"].sample_ids, "the same samples at every size"
    inference, latency_ms = mode.infer(classifier, split.images)
    _write_views(paths, number, role, collect_views(role, inference, fusion, mode), dataset)
    return score_views({role: inference}, split.labels, fusion, mode), latency_ms


def _write_views(paths: TrialPaths, number: int, role: str, views: Mapping[str, np.ndarray], dataset: Dataset) -> None:
    """Held-out probabilities by view, all of the weights that are on disk."""
    split = dataset.splits["held_out"]
    common: dict[str, Any] = {
        "sample_ids": split.sample_ids,
        "labels": split.labels.astype(np.int32),
        "classes": dataset.classes,
        "split": "held_out",
        "fingerprint": dataset.fingerprint,
        "trial_number": number,
        "weights_sha256": sha256(paths.weights(role)),
    }
    for view, probs in views.items():
        write_predictions(paths.predictions(view), Predictions(probs=probs, view=view, **common))


def _write_features(path: Path, sample_ids: tuple[str, ...], features: np.ndarray) -> None:
    flat = pa.array(np.ascontiguousarray(features, dtype=np.float32).ravel())
    columns = {
        "sample_id": pa.array(sample_ids, pa.string()),
        "features": pa.FixedSizeListArray.from_arrays(flat, features.shape[1]),
    }
    table = pa.table(columns)
    with replacing(path) as aside, pa.OSFile(str(aside), "wb") as sink, pa.ipc.new_file(sink, table.schema) as out:
        out.write_table(table)
