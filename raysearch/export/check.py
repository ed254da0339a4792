"""Verification of a written set: a new process reads it and must reproduce the stored predictions."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from raysearch.data.dataset import Dataset
from raysearch.errors import SetError
from raysearch.export.onnx_vote import measure_onnx_difference
from raysearch.export.selected import SelectedEnsemble
from raysearch.export.timm_layout import check_timm_layout
from raysearch.paths import StudyPaths
from raysearch.predict.checkpoint_set import CheckpointSet, load_set
from raysearch.train.figures import accuracy

TOLERANCE = 1e-4
"""Largest accepted difference between a probability of the ensemble and the stored one."""
MEMBER_TOLERANCE = 1e-3
"""Largest accepted difference for a single member, whatever its weight."""
SAMPLES_AT_ONCE = 500
"""Number of images in memory at once."""
ONNX_SAMPLES = 32
"""Number of images for the comparison with onnxruntime."""


@dataclass(frozen=True)
class Check:
    """Comparison of a set's probabilities with the stored ones, on images that its models have not learned from."""

    n: int
    """Number of images"""
    max_difference: float
    """Largest difference of the ensemble's probabilities"""
    member_difference: float
    """Largest difference of one member's probabilities"""
    member: str
    """Name of the member with the largest difference"""
    accuracy: float
    stored_accuracy: float
    onnx_difference: float | None = None
    """Largest difference between the probabilities of the ONNX file and of the set; None without an ONNX file"""

    @property
    def fault(self) -> str | None:
        """Message that says what differs; None if the set reproduces the stored predictions."""
        if not self.max_difference < TOLERANCE:
            return (
                f"the set's probabilities differ from the stored ones by up to {self.max_difference:.2g}, must be less "
                f"than {TOLERANCE:g}; member {self.member} differs most"
            )
        if not self.member_difference < MEMBER_TOLERANCE:
            return (
                f"the probabilities of member {self.member} differ from the stored ones by up to "
                f"{self.member_difference:.2g}, must be less than {MEMBER_TOLERANCE:g}"
            )
        if self.accuracy != self.stored_accuracy:
            return f"the set's held-out accuracy is {self.accuracy:.4f}, the stored one {self.stored_accuracy:.4f}"
        if self.onnx_difference is not None and not self.onnx_difference < TOLERANCE:
            return (
                f"the ONNX file's probabilities differ from the set's by up to {self.onnx_difference:.2g}, must be "
                f"less than {TOLERANCE:g}; export without --format onnx"
            )
        return None


def check_in_fresh_process(
    set_dir: Path, study: StudyPaths, ensemble: str, source: str, refit: StudyPaths | None
) -> Check:
    """Run `raysearch.export.verify` and return its result.

    Raises `SetError` with the faults that it reports, or with its exit code and last message if it crashes.
    """
    arguments = [str(set_dir), str(study.root), ensemble, source, *([str(refit.root)] if refit else [])]
    command = [sys.executable, "-m", "raysearch.export.verify", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise SetError(f"the verification of the written set ended with exit code {done.returncode}: {reason}")
    answer = json.loads(lines[-1])
    if "faults" in answer:
        raise SetError(answer["faults"])
    return Check(**answer)


@dataclass(frozen=True)
class _Block:
    """A block of images that one training held out: the set's predictions and the stored ones."""

    rows: np.ndarray
    """int [samples]: indices among all images of the check"""
    predicted: np.ndarray
    """float64 [members, samples, classes]"""
    stored: np.ndarray
    """float64 [members, samples, classes]"""


def check_set(set_dir: Path, selected: SelectedEnsemble) -> Check:
    """Load the set, predict the images that each training held out, and compare with the stored predictions.

    In a study with folds, the models of the fold that held an image out predict it. In a refit, the models of each seed
    predict the few images that the refit held out. Raises `SetError` if timm's own loader gives other probabilities.
    """
    checkpoint_set = load_set(set_dir)
    reference = selected.reference
    worst = np.zeros(len(checkpoint_set.members))
    probs, stored = np.zeros((2, *reference.probs.shape))
    counts = np.zeros((len(probs), 1))  # with several seeds, each image is predicted once per seed
    for block in _blocks(checkpoint_set, selected):
        worst = np.maximum(worst, np.abs(block.predicted - block.stored).max(axis=(1, 2)))
        probs[block.rows] += checkpoint_set.vote(block.predicted)
        stored[block.rows] += checkpoint_set.vote(block.stored)
        counts[block.rows] += 1
    assert counts.all(), "every image is held out by some training"
    probs, stored = probs / counts, stored / counts
    return Check(
        n=len(probs),
        max_difference=float(np.abs(probs - stored).max()),
        member_difference=float(worst.max()),
        member=checkpoint_set.members[int(worst.argmax())].name,
        accuracy=accuracy(probs, reference.labels),
        stored_accuracy=accuracy(stored, reference.labels),
        onnx_difference=_check_onnx(checkpoint_set, selected) if checkpoint_set.manifest.onnx else None,
    )


def _blocks(checkpoint_set: CheckpointSet, selected: SelectedEnsemble) -> Iterator[_Block]:
    row_by_id = {sample_id: row for row, sample_id in enumerate(selected.reference.sample_ids)}
    for index in range(len(selected.members[0][1])):
        single = checkpoint_set.with_one_model(index)
        held_out = _open_held_out(single, selected, index)
        check_timm_layout(single, held_out)
        ids = next(iter(held_out.values())).splits["held_out"].sample_ids
        stored = [_read_stored(selected, member, index, ids) for member in range(len(single.members))]
        for start in range(0, len(ids), SAMPLES_AT_ONCE):
            block = slice(start, start + SAMPLES_AT_ONCE)
            images = {side: dataset.splits["held_out"].images[block] for side, dataset in held_out.items()}
            yield _Block(
                np.array([row_by_id[sample_id] for sample_id in ids[block]]),
                single.predict_members(images),
                np.stack([probs[block] for probs in stored]).astype(np.float64),
            )


def _open_held_out(checkpoint_set: CheckpointSet, selected: SelectedEnsemble, index: int) -> dict[int, Dataset]:
    """By side in pixels: the images that the ``index``-th training of every member held out."""
    dataset = selected.members[0][1][index].open_data()
    return {side: dataset.resized(side, ["held_out"]) for side in checkpoint_set.image_sizes}


def _read_stored(selected: SelectedEnsemble, member: int, index: int, ids: Sequence[str]) -> np.ndarray:
    """float32 [samples, classes]: the stored predictions of a member's ``index``-th training, in the order of ``ids``.

    The member's own predictions contain those of its folds: they are out-of-fold predictions.
    """
    entry, trainings = selected.members[member]
    is_refit = trainings[index].refit is not None
    predictions = trainings[index].read_stored(entry.view) if is_refit else selected.library.candidates[member]
    rows = {sample_id: row for row, sample_id in enumerate(predictions.sample_ids)}
    return predictions.probs[[rows[sample_id] for sample_id in ids]]


def _check_onnx(checkpoint_set: CheckpointSet, selected: SelectedEnsemble) -> float:
    held_out = _open_held_out(checkpoint_set, selected, 0)
    images = {side: dataset.splits["held_out"].images[:ONNX_SAMPLES] for side, dataset in held_out.items()}
    return measure_onnx_difference(checkpoint_set, images)
