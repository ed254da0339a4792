"""Images to probabilities, the same way in training, prediction and the check of an export.

Always true float32: bfloat16 or TF32 would let stored and reproduced probabilities differ by more than rounding.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from raysearch.config import IMAGE_MEAN, IMAGE_STD
from raysearch.models.classifier import Classifier


def normalise(images: Tensor) -> Tensor:
    """uint8 [batch, 3, height, width] -> float32, each channel less its mean over its deviation."""
    mean = torch.tensor(IMAGE_MEAN, device=images.device).view(1, 3, 1, 1) * 255
    std = torch.tensor(IMAGE_STD, device=images.device).view(1, 3, 1, 1) * 255
    return (images.float() - mean) / std


@dataclass(frozen=True)
class Inference:
    """``final`` and ``aux`` (None without an auxiliary head): probabilities, float32 [samples, classes];
    ``features``: float32 [samples, num_features]."""

    final: np.ndarray
    aux: np.ndarray | None
    features: np.ndarray

    def fused(self, weight: float) -> np.ndarray:
        """(1 - weight) final + weight auxiliary (AR, "Auxiliary Fusion")."""
        assert self.aux is not None, "fusion needs an auxiliary head"
        return ((1 - weight) * self.final + weight * self.aux).astype(np.float32)


@torch.inference_mode()
def infer(classifier: Classifier, images: np.ndarray, batch_size: int = 100) -> Inference:
    """Run uint8 images [samples, height, width, 3] through ``classifier`` in eval mode, which is then restored."""
    was_training = classifier.training
    classifier.eval()
    device = next(classifier.parameters()).device
    final, aux, features = [], [], []
    for start in range(0, len(images), batch_size):
        batch = torch.from_numpy(np.array(images[start : start + batch_size])).to(device).permute(0, 3, 1, 2)
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            outputs = classifier(normalise(batch))
        final.append(outputs.logits.softmax(1).cpu())
        features.append(outputs.features.cpu())
        if outputs.aux_logits is not None:
            aux.append(outputs.aux_logits.softmax(1).cpu())
    classifier.train(was_training)
    return Inference(torch.cat(final).numpy(), torch.cat(aux).numpy() if aux else None, torch.cat(features).numpy())
