"""Inference modes: the default size, TenCrop, and other image sizes."""

import time
from dataclasses import dataclass

import numpy as np

from raysearch.config import TrialConfig
from raysearch.models import Classifier, Inference, infer, infer_tencrop, tencrop_side
from raysearch.paths import ViewParts

TEN_CROPS = 10


@dataclass(frozen=True)
class InferenceMode:
    """How images are shown to a network. Each mode has its own views."""

    name: str
    """Its key in `latency_ms`: `center`, `tencrop`, or the side, such as `40px`"""
    side: int
    """Side of the square input images, in pixels"""
    crop: int | None = None
    """Side of the ten crops, in pixels; None: the image is not cropped"""

    @property
    def pixels(self) -> int:
        """Pixels that a network processes per image."""
        return self.side**2 if self.crop is None else TEN_CROPS * self.crop**2

    def view(self, role: str, is_fused: bool) -> str:
        """The name of a role's view, of the final head or fused with the auxiliary head."""
        is_other_side = self.crop is None and self.name != "center"
        return str(ViewParts(role, is_fused, self.crop is not None, self.side if is_other_side else None))

    def infer(self, classifier: Classifier, images: np.ndarray) -> tuple[Inference, float]:
        """Inference on uint8 images [samples, side, side, 3], and the milliseconds per image."""
        began = time.perf_counter()
        inference = infer(classifier, images) if self.crop is None else infer_tencrop(classifier, images, self.crop)
        return inference, 1000 * (time.perf_counter() - began) / len(images)


def default_inference_mode(trial: TrialConfig) -> InferenceMode:
    """The mode of all evaluations during a training."""
    return InferenceMode("center", trial.inference_size)


def other_inference_modes(trial: TrialConfig) -> tuple[InferenceMode, ...]:
    """The modes in which the kept weights are evaluated at the end of a training."""
    inference = trial.inference
    sides = tuple(InferenceMode(f"{side}px", side) for side in inference.also_at)
    if not inference.tencrop:
        return sides
    tencrop = InferenceMode(
        "tencrop", tencrop_side(trial.inference_size, inference.tencrop_share), trial.inference_size
    )
    return tencrop, *sides
