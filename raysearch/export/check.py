"""The check of a written set: read in a fresh process, it must say again what the stored predictions say."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from raysearch.data.dataset import Dataset
from raysearch.errors import SetError
from raysearch.export.onnx_vote import onnx_difference
from raysearch.export.selected import SelectedEnsemble
from raysearch.export.timm_layout import check_timm_layout
from raysearch.paths import StudyPaths
from raysearch.predict.checkpoint_set import CheckpointSet, load_set
from raysearch.train.figures import accuracy

TOLERANCE = 1e-4
"""Largest difference of one of the vote's probabilities that counts as the same."""
MEMBER_TOLERANCE = 1e-3
"""Likewise of a member's, however small its weight."""
SAMPLES_AT_ONCE = 500
ONNX_SAMPLES = 32
"""Images that onnxruntime is compared on."""


@dataclass(frozen=True)
class Check:
    """A set's probabilities of images that its models have not learned from beside the stored ones."""

    n: int
    max_difference: float
    """Of the vote's probabilities"""
    member_difference: float
    """Of a member's probabilities"""
    member: str
    """The one that differs the most"""
    accuracy: float
    stored_accuracy: float
    onnx_difference: float | None = None
    """Of the ONNX file's probabilities from the set's; None without such a file"""

    @property
    def fault(self) -> str | None:
        """What differs, if the two are not the same."""
        if not self.max_difference < TOLERANCE:
            return (
                f"the set's probabilities differ from the stored ones by up to {self.max_difference:.2g}, those of "
                f"{self.member} the most; less than {TOLERANCE:g} must hold"
            )
        if not self.member_difference < MEMBER_TOLERANCE:
            return (
                f"the probabilities of member {self.member} differ from the stored ones by up to "
                f"{self.member_difference:.2g}; less than {MEMBER_TOLERANCE:g} must hold"
            )
        if self.accuracy != self.stored_accuracy:
            return f"the set's held-out accuracy is {self.accuracy:.4f}, the stored one {self.stored_accuracy:.4f}"
        if self.onnx_difference is not None and not self.onnx_difference < TOLERANCE:
            return (
                f"the ONNX file's probabilities differ from the set's by up to {self.onnx_difference:.2g}; less than "
                f"{TOLERANCE:g} must hold; export without --format onnx"
            )
        return None


def check_in_fresh_process(
    set_dir: Path, study: StudyPaths, ensemble: str, source: str, refit: StudyPaths | None
) -> Check:
    """Run `raysearch.export.verify`. Raises `SetError` with the faults that it found, or with how it broke off."""
    arguments = [str(set_dir), str(study.root), ensemble, source, *([str(refit.root)] if refit else [])]
    command = [sys.executable, "-m", "raysearch.export.verify", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise SetError(f"the check of the written set broke off with exit code {done.returncode}: {reason}")
    answer = json.loads(lines[-1])
    if "faults" in answer:
        raise SetError(answer["faults"])
    return Check(**answer)


@dataclass(frozen=True)
class _Block:
    """Some images that one training held out: what the set says of them and what that training stored."""

    rows: np.ndarray
    """int [samples]: of all images that the check is of"""
    found: np.ndarray
    stored: np.ndarray
    """float64 [members, samples, classes]"""


def check_set(set_dir: Path, selected: SelectedEnsemble) -> Check:
    """Load the set, predict what each model's training held out, and compare with the stored predictions.

    Of a study with folds, each image by the models of the fold that held it out; of a refit, the few images that were
    kept out, by each seed's models. Raises `SetError` when timm's own loader makes something else of a model.
    """
    checkpoint_set = load_set(set_dir)
    reference = selected.reference
    worst = np.zeros(len(checkpoint_set.members))
    probs, stored = np.zeros((2, *reference.probs.shape))
    times = np.zeros((len(probs), 1))
    for block in _blocks(checkpoint_set, selected):
        worst = np.maximum(worst, np.abs(block.found - block.stored).max(axis=(1, 2)))
        probs[block.rows] += checkpoint_set.vote(block.found)
        stored[block.rows] += checkpoint_set.vote(block.stored)
        times[block.rows] += 1
    assert times.all(), "every image is held out by some training"
    probs, stored = probs / times, stored / times
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
    rows_of = {sample_id: row for row, sample_id in enumerate(selected.reference.sample_ids)}
    for index in range(len(selected.members[0][1])):
        part = checkpoint_set.with_one_model(index)
        held_out = _held_out(part, selected, index)
        check_timm_layout(part, held_out)
        ids = next(iter(held_out.values())).splits["held_out"].sample_ids
        stored = [_stored(selected, member, index, ids) for member in range(len(part.members))]
        for start in range(0, len(ids), SAMPLES_AT_ONCE):
            some = slice(start, start + SAMPLES_AT_ONCE)
            images = {side: dataset.splits["held_out"].images[some] for side, dataset in held_out.items()}
            yield _Block(
                np.array([rows_of[sample_id] for sample_id in ids[some]]),
                part.predict_members(images),
                np.stack([probs[some] for probs in stored]).astype(np.float64),
            )


def _held_out(part: CheckpointSet, selected: SelectedEnsemble, index: int) -> dict[int, Dataset]:
    """By side: what the ``index``-th training of every member held out."""
    dataset = selected.members[0][1][index].open_data()
    return {side: dataset.resized(side, ["held_out"]) for side in part.image_sizes}


def _stored(selected: SelectedEnsemble, member: int, index: int, ids: Sequence[str]) -> np.ndarray:
    """float32 [samples, classes]: the stored predictions of a member's ``index``-th training, in the order of ``ids``.

    Those of folds are in the member's own, which are out of fold.
    """
    entry, trainings = selected.members[member]
    is_refit = trainings[index].refit is not None
    predictions = trainings[index].stored(entry.view) if is_refit else selected.library.candidates[member]
    rows = {sample_id: row for row, sample_id in enumerate(predictions.sample_ids)}
    return predictions.probs[[rows[sample_id] for sample_id in ids]]


def _check_onnx(checkpoint_set: CheckpointSet, selected: SelectedEnsemble) -> float:
    held_out = _held_out(checkpoint_set, selected, 0)
    images = {side: dataset.splits["held_out"].images[:ONNX_SAMPLES] for side, dataset in held_out.items()}
    return onnx_difference(checkpoint_set, images)
