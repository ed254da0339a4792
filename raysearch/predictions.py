"""Predictions on a split as an Arrow file. Trainings write it, and the ensemble memory-maps it.

One row per sample: ``sample_id`` string, ``label`` int32, ``probs`` fixed_size_list<float32>[classes].
The schema's metadata names the split, data, classes, trial, view and weights.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from raysearch.errors import PredictionsError
from raysearch.io import replacing

_KEY = b"raysearch"


@dataclass(frozen=True)
class Predictions:
    """Class probabilities of one view of one training on one split."""

    sample_ids: tuple[str, ...]
    labels: np.ndarray
    """int32 [samples]"""
    probs: np.ndarray
    """float32 [samples, classes]; read-only and memory-mapped when read from a file"""
    classes: tuple[str, ...]
    split: str
    fingerprint: str
    """SHA-256 of the labelled data (`raysearch.data`)"""
    trial_number: int
    view: str
    weights_sha256: str
    """SHA-256 of the weights that made them. For several trainings (folds): `joint_sha256` of all their weights"""

    def __post_init__(self) -> None:
        n, c = len(self.sample_ids), len(self.classes)
        assert self.probs.shape == (n, c), f"probs {self.probs.shape}, expected {(n, c)}"
        assert self.labels.shape == (n,), f"labels {self.labels.shape}, expected {(n,)}"

    @property
    def name(self) -> str:
        return f"{self.trial_number:04d}-{self.view}"


def joint_sha256(hashes: Sequence[str]) -> str:
    """One SHA-256 for the weights of several trainings, in this order. For a single training it is its own hash."""
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("\n".join(hashes).encode()).hexdigest()


def write_predictions(path: Path, predictions: Predictions) -> None:
    """Write one Arrow IPC file, atomically."""
    flat = pa.array(np.ascontiguousarray(predictions.probs, dtype=np.float32).ravel())
    metadata = {
        "classes": list(predictions.classes),
        "split": predictions.split,
        "fingerprint": predictions.fingerprint,
        "trial_number": predictions.trial_number,
        "view": predictions.view,
        "weights_sha256": predictions.weights_sha256,
    }
    table = pa.table(
        {
            "sample_id": pa.array(predictions.sample_ids, pa.string()),
            "label": pa.array(predictions.labels.astype(np.int32)),
            "probs": pa.FixedSizeListArray.from_arrays(flat, len(predictions.classes)),
        }
    ).replace_schema_metadata({_KEY: json.dumps(metadata)})
    with (
        replacing(path) as temporary,
        pa.OSFile(str(temporary), "wb") as sink,
        pa.ipc.new_file(sink, table.schema) as out,
    ):
        out.write_table(table, max_chunksize=max(1, table.num_rows))  # one record batch: no copy when read


def read_predictions(path: Path) -> Predictions:
    """Memory-map one file. Raises `PredictionsError`, with the file's name, if it is missing or malformed."""
    try:
        table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        metadata = json.loads(table.schema.metadata[_KEY])
        column = table["probs"]
        # `combine_chunks` copies even a single chunk out of the memory map.
        probs = (column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()).flatten().to_numpy()
        return Predictions(
            sample_ids=tuple(table["sample_id"].to_pylist()),
            labels=table["label"].to_numpy(),
            probs=probs.reshape(table.num_rows, len(metadata["classes"])),
            classes=tuple(metadata["classes"]),
            split=metadata["split"],
            fingerprint=metadata["fingerprint"],
            trial_number=metadata["trial_number"],
            view=metadata["view"],
            weights_sha256=metadata["weights_sha256"],
        )
    except (OSError, pa.ArrowInvalid, KeyError, TypeError, ValueError) as error:
        raise PredictionsError(f"{path}: cannot be read as predictions ({error})") from error


def check_aligned(library: Sequence[Predictions], names: Sequence[str]) -> None:
    """Check that all predictions have the same samples, labels, classes, split and data.

    ``names``: the files' names, in the order of ``library``, for the messages. Raises `PredictionsError`, one fault per
    file that differs from the first.
    """
    faults = []
    first = library[0]
    for other, name in zip(library[1:], names[1:], strict=True):
        if difference := _difference(first, other):
            faults.append(f"{name}: {difference}, unlike {names[0]}")
    if faults:
        raise PredictionsError(faults)


def _difference(first: Predictions, other: Predictions) -> str | None:
    if other.split != first.split:
        return f"split {other.split!r}, not {first.split!r}"
    if other.classes != first.classes:
        odd = sorted(set(other.classes) ^ set(first.classes))
        return f"different classes ({', '.join(odd[:5]) or 'in another order'})"
    if other.sample_ids != first.sample_ids:
        odd = sorted(set(other.sample_ids) ^ set(first.sample_ids))
        return f"different samples ({', '.join(odd[:5]) or 'in another order'})"
    if not np.array_equal(other.labels, first.labels):
        index = int(np.flatnonzero(other.labels != first.labels)[0])
        return f"sample {first.sample_ids[index]!r} has label {other.classes[other.labels[index]]!r}"
    if other.fingerprint != first.fingerprint:
        return f"different data (fingerprint {other.fingerprint[:12]}, not {first.fingerprint[:12]})"
    return None
