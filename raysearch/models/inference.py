"""From images to probabilities, in the same way for training, prediction and the check of an export.

Always in float32: with bfloat16 or TF32, stored and reproduced probabilities would differ by more than rounding.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2.functional import ten_crop

from raysearch.config import IMAGE_MEAN, IMAGE_STD
from raysearch.models.classifier import Classifier
from raysearch.paths import Crops


def normalise(images: Tensor) -> Tensor:
    """uint8 [batch, 3, height, width] -> float32, (value - mean) / standard deviation of each channel."""
    mean = torch.tensor(IMAGE_MEAN, device=images.device).view(1, 3, 1, 1) * 255
    std = torch.tensor(IMAGE_STD, device=images.device).view(1, 3, 1, 1) * 255
    # In place: allocates one tensor instead of three.
    return images.to(torch.float32, copy=True).sub_(mean).div_(std)


@dataclass(frozen=True)
class Inference:
    """Outputs for all samples.

    ``final`` and ``aux`` (None without an auxiliary head): probabilities, float32 [samples, classes]; ``features``:
    float32 [samples, num_features].
    """

    final: np.ndarray
    aux: np.ndarray | None
    features: np.ndarray

    def fused(self, weight: float) -> np.ndarray:
        """(1 - weight) final + weight auxiliary (AR, "Auxiliary Fusion")."""
        assert self.aux is not None, "fusion needs an auxiliary head"
        return ((1 - weight) * self.final + weight * self.aux).astype(np.float32)


def infer(classifier: Classifier, images: np.ndarray, batch_size: int = 100) -> Inference:
    """Run uint8 images [samples, height, width, 3] through ``classifier`` in eval mode. Restores its mode."""
    return _infer(classifier, images, batch_size, lambda batch: (batch,))


def infer_mirrored(classifier: Classifier, images: np.ndarray, batch_size: int = 100) -> Inference:
    """Like `infer`, with the mean over each image and its horizontal mirror image."""
    return _infer(classifier, images, batch_size, lambda batch: (batch, batch.flip(-1)))


def infer_tencrop(classifier: Classifier, images: np.ndarray, image_size: int, batch_size: int = 100) -> Inference:
    """Like `infer`, with the mean over ten crops: four corners and centre of the image and of its mirror image.

    Krizhevsky et al. 2012, section 4.1. ``images``: uint8 [samples, side, side, 3] with the side from `tencrop_side`;
    ``image_size``: side of the crops; ``batch_size`` counts images, not crops.
    """
    return _infer(classifier, images, batch_size, lambda batch: ten_crop(batch, [image_size, image_size]))


def infer_crops(classifier: Classifier, images: np.ndarray, crops: Crops, image_size: int) -> Inference:
    """Like `infer`, `infer_mirrored` or `infer_tencrop`. ``image_size``: side of the network's square input."""
    if crops == "tencrop":
        return infer_tencrop(classifier, images, image_size)
    return infer_mirrored(classifier, images) if crops == "mirror" else infer(classifier, images)


def tencrop_side(image_size: int, share: float) -> int:
    """Side of the image, in pixels, if the side of its crops is ``image_size`` and ``share`` of that side."""
    return round(image_size / share)


@torch.inference_mode()
def _infer(
    classifier: Classifier, images: np.ndarray, batch_size: int, make_crops: Callable[[Tensor], Sequence[Tensor]]
) -> Inference:
    """Means over the crops that ``make_crops`` returns for a batch, uint8 [batch, 3, height, width]."""
    was_training = classifier.training
    classifier.eval()
    device = next(classifier.parameters()).device
    final, aux, features = [], [], []
    for start in range(0, len(images), batch_size):
        batch = torch.from_numpy(np.array(images[start : start + batch_size])).to(device).permute(0, 3, 1, 2)
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            outputs = [classifier(normalise(crop)) for crop in make_crops(batch)]
        final.append(_mean([crop.logits.softmax(1) for crop in outputs]))
        features.append(_mean([crop.features for crop in outputs]))
        if auxiliary := [crop.aux_logits.softmax(1) for crop in outputs if crop.aux_logits is not None]:
            aux.append(_mean(auxiliary))
    classifier.train(was_training)
    return Inference(torch.cat(final).numpy(), torch.cat(aux).numpy() if aux else None, torch.cat(features).numpy())


def _mean(crops: list[Tensor]) -> Tensor:
    return torch.stack(crops).mean(0).cpu()
