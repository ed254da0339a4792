"""A look at the held-out split: figures of every view, and the best weights of each role kept on disk."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from safetensors.torch import save_file

from raysearch.data import Dataset
from raysearch.io import replacing, sha256
from raysearch.models import Classifier, Inference, infer
from raysearch.paths import TrialPaths
from raysearch.predictions import Predictions, write_predictions
from raysearch.train.figures import accuracy, log_loss


def look(classifiers: Mapping[str, Classifier], dataset: Dataset) -> dict[str, Inference]:
    """Inference of each role on the whole held-out split."""
    images = dataset.splits["held_out"].images
    return {role: infer(classifier, images) for role, classifier in classifiers.items()}


def figures(inferences: Mapping[str, Inference], labels: np.ndarray, fusion: float) -> dict[str, dict[str, float]]:
    """Accuracy and log loss of each view."""
    return {
        f"{role}-{head}": {"accuracy": accuracy(probs, labels), "log_loss": log_loss(probs, labels)}
        for role, inference in inferences.items()
        for head, probs in views_of(inference, fusion).items()
    }


def views_of(inference: Inference, fusion: float) -> dict[str, np.ndarray]:
    """Probabilities with the final head alone and, where there is an auxiliary head, fused with it."""
    views = {"final": inference.final}
    if inference.aux is not None:
        views["fused"] = inference.fused(fusion)
    return views


def keep(
    paths: TrialPaths,
    number: int,
    role: str,
    classifier: Classifier,
    inference: Inference,
    dataset: Dataset,
    fusion: float,
) -> None:
    """Write a role's weights, predictions and features: they are of one moment, its best epoch so far."""
    with replacing(paths.weights(role)) as aside:
        save_file({name: t.contiguous() for name, t in classifier.state_dict().items()}, aside)
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
    for head, probs in views_of(inference, fusion).items():
        view = f"{role}-{head}"
        write_predictions(paths.predictions(view), Predictions(probs=probs, view=view, **common))
    _write_features(paths.features(role), split.sample_ids, inference.features)


def _write_features(path: Path, sample_ids: tuple[str, ...], features: np.ndarray) -> None:
    flat = pa.array(np.ascontiguousarray(features, dtype=np.float32).ravel())
    columns = {
        "sample_id": pa.array(sample_ids, pa.string()),
        "features": pa.FixedSizeListArray.from_arrays(flat, features.shape[1]),
    }
    table = pa.table(columns)
    with replacing(path) as aside, pa.OSFile(str(aside), "wb") as sink, pa.ipc.new_file(sink, table.schema) as out:
        out.write_table(table)
