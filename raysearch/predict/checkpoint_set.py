"""A checkpoint set in memory: images to probabilities by the members' weighted soft vote."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from raysearch.ensemble.calibration import scaled
from raysearch.errors import SetError, UserError
from raysearch.io import display_path
from raysearch.models import Classifier, Inference, build_classifier, infer, infer_tencrop, tencrop_side
from raysearch.paths import MEMBER_AUX_HEAD, MEMBER_WEIGHTS, SetPaths
from raysearch.predict.integrity import check_files, read_manifest
from raysearch.predict.manifest import Manifest, MemberEntry, Tta

Run: TypeAlias = tuple[str, int, int | None]
"""What one pass over the images is of: a model's folder, the size it sees, and the square of its ten crops if any."""


@dataclass(frozen=True)
class CheckpointSet:
    """Made by `load_set`, which has checked every file."""

    paths: SetPaths
    manifest: Manifest
    classifiers: Mapping[str, Classifier]
    """By the models' folder; views of the same weights share one"""

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

    @property
    def runs(self) -> dict[Run, list[int]]:
        """Every pass that the members need, once, and the indices of those that it serves."""
        runs: dict[Run, list[int]] = {}
        for index, member in enumerate(self.members):
            for folder in member.folders:
                runs.setdefault((folder, member.image_size, member.tencrop_side), []).append(index)
        return runs

    def predict(self, images: Mapping[int, np.ndarray]) -> np.ndarray:
        """The same images at each of `image_sizes`, uint8 [samples, size, size, 3], as `raysearch.data` prepares them.

        Returns float64 [samples, classes]: the sum of weight times the member's probabilities, not calibrated.
        """
        return self.vote(self.predict_members(images))

    def predict_members(self, images: Mapping[int, np.ndarray]) -> np.ndarray:
        """float64 [members, samples, classes]: the mean over each member's models; ``images`` as for `predict`."""
        probs = np.zeros((len(self.members), len(images[self.image_sizes[0]]), len(self.classes)))
        for run, shares in self.runs.items():
            inference = self._infer(run, images[run[2] or run[1]])
            for index in shares:
                member = self.members[index]
                probs[index] += _probs(inference, member).astype(np.float64) / len(member.models)
        return probs

    def vote(self, member_probs: np.ndarray) -> np.ndarray:
        """[members, samples, classes] -> float64 [samples, classes]: the weighted sum over the members."""
        return np.tensordot([member.weight for member in self.members], member_probs, axes=1)

    def calibrated(self, probs: np.ndarray) -> np.ndarray:
        """float64 [samples, classes]: ``probs`` of `predict` by the set's temperature; the best class stays."""
        return scaled(probs, self.manifest.temperature)

    def with_tta(self, tta: Tta) -> "CheckpointSet":
        """The same weights and votes, but every member looks at images so, whatever its view; `image_sizes` follow.

        The stored figures and the temperature are of the members' own looks.
        """
        return self._with_members([_looking(member, tta) for member in self.members])

    def with_one_model(self, index: int) -> "CheckpointSet":
        """The same members, each with its ``index``-th model alone: what that fold, or that seed, has trained."""
        return self._with_members(
            [member.model_copy(update={"models": [member.models[index]]}) for member in self.members]
        )

    def _with_members(self, members: list[MemberEntry]) -> "CheckpointSet":
        return replace(self, manifest=self.manifest.model_copy(update={"members": members}))

    def _infer(self, run: Run, images: np.ndarray) -> Inference:
        folder, image_size, side = run
        classifier = self.classifiers[folder]
        return infer(classifier, images) if side is None else infer_tencrop(classifier, images, image_size)


def load_set(root: Path) -> CheckpointSet:
    """Load the set in folder ``root``; onto the GPU where there is one.

    Every listed file is compared with its SHA-256 first, and weights are read from safetensors only, so that
    nothing in a set is ever executed. Raises `SetError` naming each file that is missing, altered or does not fit.
    """
    paths = SetPaths(root)
    manifest = read_manifest(paths)
    check_files(paths, manifest)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    fused = {folder for member in manifest.members if member.is_fused for folder in member.folders}
    classifiers: dict[str, Classifier] = {}
    for member in manifest.members:
        for folder in member.folders:
            if folder not in classifiers:
                classifier = _load(paths, member, folder, len(manifest.classes), has_aux_head=folder in fused)
                # As in training, where the predictions that a set must reproduce were made.
                classifiers[folder] = classifier.to(device).to(memory_format=torch.channels_last).eval()
    return CheckpointSet(paths, manifest, classifiers)


def _probs(inference: Inference, member: MemberEntry) -> np.ndarray:
    """float32 [samples, classes]"""
    return inference.final if member.aux_fusion is None else inference.fused(member.aux_fusion)


def _looking(member: MemberEntry, tta: Tta) -> MemberEntry:
    if tta == "center":
        return member.model_copy(update={"tencrop_side": None})
    side = member.tencrop_side or tencrop_side(member.image_size, member.tencrop_share)
    return member.model_copy(update={"tencrop_side": side})


def _load(paths: SetPaths, member: MemberEntry, folder: str, num_classes: int, *, has_aux_head: bool) -> Classifier:
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
        path = paths.root / folder / name
        try:
            module.load_state_dict(load_file(path))
        except (SafetensorError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise SetError(f"{display_path(path)}: not the weights of a {member.backbone} ({reason})") from error
    return classifier
