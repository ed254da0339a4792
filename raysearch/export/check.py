"""The check of a written set: read in a fresh process, it must say again what the stored predictions say."""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import timm
import torch

from raysearch.config import TrainingConfig
from raysearch.data import Dataset
from raysearch.errors import SetError
from raysearch.export.selected import SelectedEnsemble
from raysearch.io import display_path
from raysearch.models import normalise
from raysearch.paths import StudyPaths
from raysearch.predict import CheckpointSet, load_set
from raysearch.section import validate
from raysearch.train.figures import accuracy

TOLERANCE = 1e-4
"""Largest difference of a probability that counts as the same."""
TIMM_SAMPLES = 16
"""Images that timm's own loader is compared on."""


@dataclass(frozen=True)
class Check:
    """A set's probabilities of the held-out split beside the stored ones."""

    n: int
    max_difference: float
    accuracy: float
    stored_accuracy: float

    @property
    def fault(self) -> str | None:
        """What differs, if the two are not the same."""
        if not self.max_difference < TOLERANCE:
            return (
                f"the set's probabilities differ from the stored ones by up to {self.max_difference:.2g}; "
                f"less than {TOLERANCE:g} must hold"
            )
        if self.accuracy != self.stored_accuracy:
            return f"the set's held-out accuracy is {self.accuracy:.4f}, the stored one {self.stored_accuracy:.4f}"
        return None


def check_in_fresh_process(set_dir: Path, study: StudyPaths, ensemble: str, source: str) -> Check:
    """Run `raysearch.export.verify`. Raises `SetError` with the faults that it found, or with how it broke off."""
    command = [sys.executable, "-m", "raysearch.export.verify", str(set_dir), str(study.root), ensemble, source]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise SetError(f"the check of the written set broke off with exit code {done.returncode}: {reason}")
    answer = json.loads(lines[-1])
    if "faults" in answer:
        raise SetError(answer["faults"])
    return Check(**answer)


def check_set(set_dir: Path, selected: SelectedEnsemble) -> Check:
    """Load the set, predict the held-out split, and compare with the ensemble of the stored predictions.

    Raises `SetError` when timm's own loader makes something else of a member than ours.
    """
    checkpoint_set = load_set(set_dir)
    training = validate(TrainingConfig, checkpoint_set.members[0].config, display_path(checkpoint_set.paths.manifest))
    dataset = selected.open_data(training)
    images = {
        side: _images(dataset.at(side, ["held_out"]), selected.library.sample_ids)
        for side in checkpoint_set.image_sizes
    }
    _check_timm_layout(checkpoint_set, images)
    stored, labels = selected.probs, selected.library.labels
    probs = checkpoint_set.predict(images)
    return Check(
        n=len(labels),
        max_difference=float(np.abs(probs - stored).max()),
        accuracy=accuracy(probs, labels),
        stored_accuracy=accuracy(stored, labels),
    )


def _images(dataset: Dataset, sample_ids: Sequence[str]) -> np.ndarray:
    """uint8 [samples, size, size, 3]: held-out images in the order of ``sample_ids``"""
    split = dataset.splits["held_out"]
    rows = {sample_id: row for row, sample_id in enumerate(split.sample_ids)}
    return split.images[[rows[sample_id] for sample_id in sample_ids]]


@torch.inference_mode()
def _check_timm_layout(checkpoint_set: CheckpointSet, images: dict[int, np.ndarray]) -> None:
    """Every member folder must give the same logits when plain timm loads it."""
    faults = []
    for member in {member.folder: member for member in checkpoint_set.members}.values():
        folder = checkpoint_set.paths.root / member.folder
        classifier = checkpoint_set.classifiers[member.folder]
        device = next(classifier.parameters()).device
        size = member.image_size  # of a TenCrop member's larger squares, the upper left corner will do
        few = torch.from_numpy(images[member.input_side][:TIMM_SAMPLES, :size, :size]).permute(0, 3, 1, 2).to(device)
        try:
            plain = timm.create_model(f"local-dir:{folder}", pretrained=True).to(device).eval()
        except (RuntimeError, TypeError, ValueError) as error:
            faults.append(
                f"{member.folder}: timm cannot load a {member.backbone} ({' '.join(str(error).split())[:200]})"
            )
            continue
        ours, timms = classifier(normalise(few)).logits.softmax(1), plain(normalise(few)).softmax(1)
        if not (difference := float((ours - timms).abs().max())) < TOLERANCE:
            faults.append(f"{member.folder}: timm's loader gives other probabilities, by up to {difference:.2g}")
    if faults:
        raise SetError(faults)
