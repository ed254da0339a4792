"""Predictions on a split as an Arrow file: written by trainings, memory-mapped by the ensemble.

One row a sample: ``sample_id`` string, ``label`` int32, ``probs`` fixed_size_list<float32>[classes].
The schema's metadata says of which split, data, classes, trial, view and weights they are.
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
    """Of the weights that made them; of several trainings' weights (folds), `joint_sha256` of all"""

    def __post_init__(self) -> None:
        n, c = len(self.sample_ids), len(self.classes)
        assert self.probs.shape == (n, c), f"probs {self.probs.shape}, expected {(n, c)}"
        assert self.labels.shape == (n,), f"labels {self.labels.shape}, expected {(n,)}"

    @property
    def name(self) -> str:
        return f"{self.trial_number:04d}-{self.view}"


def joint_sha256(hashes: Sequence[str]) -> str:
    """One SHA-256 for the weights of several trainings, in their order; of one training its own."""
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("\n".join(hashes).encode()).hexdigest()


def write_predictions(path: Path, predictions: Predictions) -> None:
    """Write one Arrow IPC file, aside then renamed."""
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
    with replacing(path) as aside, pa.OSFile(str(aside), "wb") as sink, pa.ipc.new_file(sink, table.schema) as out:
        out.write_table(table, max_chunksize=max(1, table.num_rows))  # one batch, so that a reader can map it


def read_predictions(path: Path) -> Predictions:
    """Memory-map one file. Raises `PredictionsError` naming the file when it is missing or malformed."""
    try:
        table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        metadata = json.loads(table.schema.metadata[_KEY])
        column = table["probs"]
        # Combining chunks copies even a single one out of the map.
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
        raise PredictionsError(f"{path}: not readable as predictions ({error})") from error


def check_aligned(library: Sequence[Predictions], names: Sequence[str]) -> None:
    """Refuse predictions that are not of the same samples, classes and data, saying which and how.

    ``names`` are the files' names for the messages, in the order of ``library``.
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
        return f"of split {other.split!r}, not {first.split!r}"
    if other.classes != first.classes:
        odd = sorted(set(other.classes) ^ set(first.classes))
        return f"of other classes ({', '.join(odd[:5]) or 'in another order'})"
    if other.sample_ids != first.sample_ids:
        odd = sorted(set(other.sample_ids) ^ set(first.sample_ids))
        return f"of other samples ({', '.join(odd[:5]) or 'in another order'})"
    if not np.array_equal(other.labels, first.labels):
        at = int(np.flatnonzero(other.labels != first.labels)[0])
        return f"sample {first.sample_ids[at]!r} has label {other.classes[other.labels[at]]!r}"
    if other.fingerprint != first.fingerprint:
        return f"of other data (fingerprint {other.fingerprint[:12]}, not {first.fingerprint[:12]})"
    return None
