"""Evaluation of the held-out split: figures of every view, and files with the best weights and predictions of each
role."""

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
from raysearch.train.figures import compute_figures
from raysearch.train.inference_mode import InferenceMode

FUSION_WEIGHTS = tuple(twentieths / 20 for twentieths in range(21))
"""The weights that `find_best_fusion` tries: 0 to 1 in steps of 0.05."""


def score_views(
    inferences: Mapping[str, Inference], labels: np.ndarray, fusion: float, mode: InferenceMode
) -> dict[str, dict[str, float]]:
    """The figures of each view of ``mode``, and for fused views the result of `find_best_fusion`.

    ``inferences``: by role; ``labels``: int [samples]; ``fusion``: weight of the auxiliary head.
    """
    scores = {}
    for role, inference in inferences.items():
        for view, probs in collect_views(role, inference, fusion, mode).items():
            best = find_best_fusion(inference, labels, fusion) if view_parts(view).is_fused else {}
            scores[view] = {**compute_figures(probs, labels), **best}
    return scores


def find_best_fusion(inference: Inference, labels: np.ndarray, fusion: float) -> dict[str, float]:
    """`best_weight`: the one of `FUSION_WEIGHTS` with the highest accuracy; `best_accuracy`: that accuracy.

    Of equal weights, the nearest to ``fusion`` wins, then the smallest. The accuracy is an upper bound and not an
    estimate, because the weight is chosen on the same samples.
    """
    assert inference.aux is not None, "fusion needs an auxiliary head"
    final_class, aux_class = inference.final.argmax(1), inference.aux.argmax(1)
    # If both heads predict the same class, every weighted mean of them does too: only the others are computed.
    differing = np.flatnonzero(final_class != aux_class)
    rest = Inference(inference.final[differing], inference.aux[differing], inference.features[differing])
    common = ((final_class == labels) & (final_class == aux_class)).sum()
    correct = {weight: (rest.fused(weight).argmax(1) == labels[differing]).sum() for weight in FUSION_WEIGHTS}
    accuracies = {weight: float((common + count) / len(labels)) for weight, count in correct.items()}
    best = min(accuracies, key=lambda weight: (-accuracies[weight], round(abs(weight - fusion), 6), weight))
    return {"best_weight": best, "best_accuracy": accuracies[best]}


def collect_views(role: str, inference: Inference, fusion: float, mode: InferenceMode) -> dict[str, np.ndarray]:
    """Probabilities by view: of the final head, and fused with the auxiliary head if there is one."""
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
    """Write a role's weights, and the predictions and features of these weights."""
    with replacing(paths.weights(role)) as temporary:
        save_file({name: t.contiguous() for name, t in classifier.state_dict().items()}, temporary)
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
    """Write a role's predictions in another inference mode. ``classifier`` must have the role's kept weights.

    ``dataset``: the training's, at any image size. Returns the figures by view, which are not in the metrics, and the
    milliseconds per image.
    """
    split = dataset.resized(mode.side, ["held_out"]).splits["held_out"]
    assert split.sample_ids == dataset.splits["held_out"].sample_ids, "the samples differ between sizes"
    inference, latency_ms = mode.infer(classifier, split.images)
    _write_views(paths, number, role, collect_views(role, inference, fusion, mode), dataset)
    return score_views({role: inference}, split.labels, fusion, mode), latency_ms


def _write_views(paths: TrialPaths, number: int, role: str, views: Mapping[str, np.ndarray], dataset: Dataset) -> None:
    """Write held-out probabilities by view. They must be of the weights that are on disk."""
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
    with (
        replacing(path) as temporary,
        pa.OSFile(str(temporary), "wb") as sink,
        pa.ipc.new_file(sink, table.schema) as out,
    ):
        out.write_table(table)
