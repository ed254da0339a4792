"""How held-out images are shown to a network: whole squares, ten crops of them, squares of other sides."""

import time
from dataclasses import dataclass

import numpy as np

from raysearch.config import TrialConfig
from raysearch.models import Classifier, Inference, infer, infer_tencrop, tencrop_side
from raysearch.paths import ViewParts

TEN_CROPS = 10


@dataclass(frozen=True)
class InferenceMode:
    """One of the ways; a network's probabilities by it are views of their own."""

    name: str
    """What `latency_ms` calls it: `center`, `tencrop` or, by its side, `40px`"""
    side: int
    """Of the square images that it takes, in pixels"""
    crop: int | None = None
    """Side of the crops that are seen of an image; None: it is seen whole"""

    @property
    def pixels(self) -> int:
        """That a network sees of an image."""
        return self.side**2 if self.crop is None else TEN_CROPS * self.crop**2

    def view(self, role: str, is_fused: bool) -> str:
        """The name of a role's probabilities, of the final head or fused with the auxiliary one's."""
        is_other_side = self.crop is None and self.name != "center"
        return str(ViewParts(role, is_fused, self.crop is not None, self.side if is_other_side else None))

    def infer(self, classifier: Classifier, images: np.ndarray) -> tuple[Inference, float]:
        """Inference of uint8 images [samples, side, side, 3], and the milliseconds that one of them took."""
        began = time.perf_counter()
        found = infer(classifier, images) if self.crop is None else infer_tencrop(classifier, images, self.crop)
        return found, 1000 * (time.perf_counter() - began) / len(images)


def default_inference_mode(trial: TrialConfig) -> InferenceMode:
    """The one that is taken throughout a training, and that its figures are of."""
    return InferenceMode("center", trial.inference_size)


def other_inference_modes(trial: TrialConfig) -> tuple[InferenceMode, ...]:
    """Those that the kept weights take when the training is through."""
    inference = trial.inference
    sides = tuple(InferenceMode(f"{side}px", side) for side in inference.also_at)
    if not inference.tencrop:
        return sides
    tencrop = InferenceMode(
        "tencrop", tencrop_side(trial.inference_size, inference.tencrop_share), trial.inference_size
    )
    return tencrop, *sides
