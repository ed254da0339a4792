"""A checkpoint set in memory. It predicts the weighted mean of the members' probabilities."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from raysearch.ensemble.calibration import scale_probs
from raysearch.errors import SetError, UserError
from raysearch.io import display_path
from raysearch.models import Classifier, Inference, build_classifier, infer_crops, tencrop_side
from raysearch.paths import MEMBER_AUX_HEAD, MEMBER_WEIGHTS, Crops, SetPaths
from raysearch.predict.integrity import check_files, read_manifest
from raysearch.predict.manifest import Manifest, MemberEntry


class Run(NamedTuple):
    """One pass over the images."""

    folder: str
    """Folder of the model"""
    image_size: int
    """Side of the network's square input, in pixels"""
    crops: Crops
    input_side: int
    """Side of the square images, in pixels: that of the TenCrop square, or ``image_size``"""


@dataclass(frozen=True)
class CheckpointSet:
    """A loaded set. Create it with `load_set`, which verifies every file."""

    paths: SetPaths
    manifest: Manifest
    classifiers: Mapping[str, Classifier]
    """By folder of the model; views of the same weights share one classifier"""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the columns of the probabilities"""
        return tuple(self.manifest.classes)

    @property
    def members(self) -> tuple[MemberEntry, ...]:
        return tuple(self.manifest.members)

    @property
    def image_sizes(self) -> tuple[int, ...]:
        """Sizes in pixels at which `predict` needs the images, in ascending order"""
        return tuple(sorted({member.input_side for member in self.members}))

    @property
    def runs(self) -> dict[Run, list[int]]:
        """Every pass that the members need, each once, with the indices of the members that use it."""
        runs: dict[Run, list[int]] = {}
        for index, member in enumerate(self.members):
            for folder in member.folders:
                run = Run(folder, member.image_size, member.crops, member.input_side)
                runs.setdefault(run, []).append(index)
        return runs

    def predict(self, images: Mapping[int, np.ndarray]) -> np.ndarray:
        """Class probabilities of ``images``, float64 [samples, classes]: the members' weighted mean, not calibrated.

        ``images``: the same images at each of `image_sizes`, uint8 [samples, size, size, 3], as `raysearch.data`
        prepares them.
        """
        return self.vote(self.predict_members(images))

    def predict_members(self, images: Mapping[int, np.ndarray]) -> np.ndarray:
        """Probabilities of each member, float64 [members, samples, classes]: the mean over its models.

        ``images``: as for `predict`.
        """
        probs = np.zeros((len(self.members), len(images[self.image_sizes[0]]), len(self.classes)))
        for run, shares in self.runs.items():
            classifier = self.classifiers[run.folder]
            inference = infer_crops(classifier, images[run.input_side], run.crops, run.image_size)
            for index in shares:
                member = self.members[index]
                probs[index] += _probs(inference, member).astype(np.float64) / len(member.models)
        return probs

    def vote(self, member_probs: np.ndarray) -> np.ndarray:
        """The weighted sum over the members: [members, samples, classes] -> float64 [samples, classes]."""
        return np.tensordot([member.weight for member in self.members], member_probs, axes=1)

    def calibrated(self, probs: np.ndarray) -> np.ndarray:
        """``probs`` of `predict` scaled by the set's temperature, float64 [samples, classes]; same best class."""
        return scale_probs(probs, self.manifest.temperature)

    def with_tta(self, tta: Crops) -> "CheckpointSet":
        """The same set, but every member uses the crops ``tta``, whatever its view. `image_sizes` change accordingly.

        The stored figures and the temperature were measured with the members' own inference modes.
        """
        return self._with_members([_set_tta(member, tta) for member in self.members])

    def with_one_model(self, index: int) -> "CheckpointSet":
        """The same members, each with only its ``index``-th model, which is the model of one fold or one seed."""
        return self._with_members(
            [member.model_copy(update={"models": [member.models[index]]}) for member in self.members]
        )

    def _with_members(self, members: list[MemberEntry]) -> "CheckpointSet":
        return replace(self, manifest=self.manifest.model_copy(update={"members": members}))


def load_set(root: Path) -> CheckpointSet:
    """Load the set in folder ``root``, onto the GPU if there is one.

    Every listed file is compared with its SHA-256 first. Weights are read only from safetensors files, so nothing in a
    set is ever executed. Raises `SetError` that names each file that is missing, altered or does not fit.
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
                classifier = _load_classifier(
                    paths, member, folder, len(manifest.classes), has_aux_head=folder in fused
                )
                # The memory format of training: the set must reproduce predictions that were made there.
                classifiers[folder] = classifier.to(device).to(memory_format=torch.channels_last).eval()
    return CheckpointSet(paths, manifest, classifiers)


def _probs(inference: Inference, member: MemberEntry) -> np.ndarray:
    """float32 [samples, classes]"""
    return inference.final if member.aux_fusion is None else inference.fused(member.aux_fusion)


def _set_tta(member: MemberEntry, tta: Crops) -> MemberEntry:
    side = member.tencrop_side or tencrop_side(member.image_size, member.tencrop_share)
    return member.model_copy(update={"mirror": tta == "mirror", "tencrop_side": side if tta == "tencrop" else None})


def _load_classifier(
    paths: SetPaths, member: MemberEntry, folder: str, num_classes: int, *, has_aux_head: bool
) -> Classifier:
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
    modules = {MEMBER_WEIGHTS: classifier.backbone}
    if classifier.aux_head is not None:
        modules[MEMBER_AUX_HEAD] = classifier.aux_head
    for name, module in modules.items():
        path = paths.root / folder / name
        try:
            module.load_state_dict(load_file(path))
        except (SafetensorError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise SetError(f"{display_path(path)}: not the weights of a {member.backbone} ({reason})") from error
    return classifier
