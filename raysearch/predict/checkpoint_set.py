"""A checkpoint set in memory: images to probabilities by the members' weighted soft vote."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from raysearch.errors import SetError, UserError
from raysearch.io import display_path
from raysearch.models import Classifier, Inference, build_classifier, infer, infer_tencrop
from raysearch.paths import MEMBER_AUX_HEAD, MEMBER_WEIGHTS, SetPaths
from raysearch.predict.manifest import Manifest, MemberEntry, check_files, read_manifest


@dataclass(frozen=True)
class CheckpointSet:
    """Made by `load_set`, which has checked every file."""

    paths: SetPaths
    manifest: Manifest
    classifiers: Mapping[str, Classifier]
    """By the members' folder; views of the same weights share one"""

    @property
    def classes(self) -> tuple[str, ...]:
        """The order of the probabilities' columns"""
        return tuple(self.manifest.classes)

    @property
    def members(self) -> tuple[MemberEntry, ...]:
        return tuple(self.manifest.members)

    @property
    def image_sizes(self) -> tuple[int, ...]:
        """Every size that `predict` needs the images at, in pixels"""
        return tuple(sorted({member.input_side for member in self.members}))

    def predict(self, images: Mapping[int, np.ndarray]) -> np.ndarray:
        """The same images at each of `image_sizes`, uint8 [samples, size, size, 3], as `raysearch.data` prepares them.

        Returns float64 [samples, classes]: the sum of weight times the member's probabilities.
        """
        runs = {(member.folder, member.tencrop_side): member for member in self.members}
        inferences = {run: self._infer(member, images[member.input_side]) for run, member in runs.items()}
        samples = len(images[self.image_sizes[0]])
        total = np.zeros((samples, len(self.classes)))
        for member in self.members:
            inference = inferences[member.folder, member.tencrop_side]
            total += member.weight * _probs(inference, member).astype(np.float64)
        return total

    def _infer(self, member: MemberEntry, images: np.ndarray) -> Inference:
        classifier = self.classifiers[member.folder]
        if member.tencrop_side is None:
            return infer(classifier, images)
        return infer_tencrop(classifier, images, member.image_size)


def load_set(root: Path) -> CheckpointSet:
    """Load the set in folder ``root``; onto the GPU where there is one.

    Every listed file is compared with its SHA-256 first, and weights are read from safetensors only, so that
    nothing in a set is ever executed. Raises `SetError` naming each file that is missing, altered or does not fit.
    """
    paths = SetPaths(root)
    manifest = read_manifest(paths)
    check_files(paths, manifest)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    fused = {member.folder for member in manifest.members if member.is_fused}
    classifiers: dict[str, Classifier] = {}
    for member in manifest.members:
        if member.folder not in classifiers:
            classifier = _load(paths, member, len(manifest.classes), has_aux_head=member.folder in fused)
            # As in training, where the predictions that a set must reproduce were made.
            classifiers[member.folder] = classifier.to(device).to(memory_format=torch.channels_last).eval()
    return CheckpointSet(paths, manifest, classifiers)


def _probs(inference: Inference, member: MemberEntry) -> np.ndarray:
    """float32 [samples, classes]"""
    return inference.final if member.aux_fusion is None else inference.fused(member.aux_fusion)


def _load(paths: SetPaths, member: MemberEntry, num_classes: int, *, has_aux_head: bool) -> Classifier:
    try:
        classifier = build_classifier(
            member.backbone,
            num_classes,
            member.image_size,
            has_aux_head=has_aux_head,
            aux_stage=member.aux_stage,
        )
    except UserError as error:
        raise SetError(f"{display_path(paths.manifest)}: members: {member.name}: {error}") from error
    parts = {MEMBER_WEIGHTS: classifier.backbone}
    if classifier.aux_head is not None:
        parts[MEMBER_AUX_HEAD] = classifier.aux_head
    for name, module in parts.items():
        path = paths.root / member.folder / name
        try:
            module.load_state_dict(load_file(path))
        except (SafetensorError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise SetError(f"{display_path(path)}: not the weights of a {member.backbone} ({reason})") from error
    return classifier
