"""Inference modes: the default size, mirror images, TenCrop, and other image sizes."""

import time
from dataclasses import dataclass

import numpy as np

from raysearch.config import TrialConfig
from raysearch.models import Classifier, Inference, infer_crops, tencrop_side
from raysearch.paths import Crops, ViewParts

CROPS_PER_IMAGE: dict[Crops, int] = {"center": 1, "mirror": 2, "tencrop": 10}


@dataclass(frozen=True)
class InferenceMode:
    """How images are shown to a network. Each mode has its own views."""

    name: str
    """Its key in `latency_ms`: `center`, `mirror`, `tencrop`, or the side, such as `40px`"""
    side: int
    """Side of the square input images, in pixels"""
    crops: Crops = "center"
    crop_side: int | None = None
    """Side of the ten crops, in pixels; None: the image is not cropped"""

    @property
    def image_size(self) -> int:
        """Side of the network's square input, in pixels."""
        return self.crop_side or self.side

    @property
    def pixels(self) -> int:
        """Pixels that a network processes per image."""
        return CROPS_PER_IMAGE[self.crops] * self.image_size**2

    def view(self, role: str, is_fused: bool) -> str:
        """The name of a role's view, of the final head or fused with the auxiliary head."""
        is_other_side = self.name == f"{self.side}px"
        return str(ViewParts(role, is_fused, self.crops, self.side if is_other_side else None))

    def infer(self, classifier: Classifier, images: np.ndarray) -> tuple[Inference, float]:
        """Inference on uint8 images [samples, side, side, 3], and the milliseconds per image."""
        began = time.perf_counter()
        inference = infer_crops(classifier, images, self.crops, self.image_size)
        return inference, 1000 * (time.perf_counter() - began) / len(images)


def default_inference_mode(trial: TrialConfig) -> InferenceMode:
    """The mode of all evaluations during a training."""
    return InferenceMode("center", trial.inference_size)


def other_inference_modes(trial: TrialConfig) -> tuple[InferenceMode, ...]:
    """The modes in which the kept weights are evaluated at the end of a training."""
    inference, size = trial.inference, trial.inference_size
    modes = [InferenceMode("mirror", size, "mirror")] if inference.mirror else []
    if inference.tencrop:
        modes.append(InferenceMode("tencrop", tencrop_side(size, inference.tencrop_share), "tencrop", size))
    return *modes, *(InferenceMode(f"{side}px", side) for side in inference.also_at)
