"""A random policy on Pillow images: torchvision's draws and, as it does with Pillow images, Pillow's pixels.

Pillow turns, equalizes and solarizes a colour image in a half to a tenth of the time that tensors take, and getting
there and back costs less than one operation.
"""

from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import AutoAugment, RandAugment, TrivialAugmentWide

__all__ = ["AutoAugment", "RandAugment", "TrivialAugmentWide", "apply_policy"]


def apply_policy(images: Tensor, policy: Callable[[Image.Image], Image.Image]) -> Tensor:
    """``policy`` on each image by itself: uint8 [batch, 3, height, width] in and out, on the CPU.

    Fastest where the channels lie last in memory, as Pillow takes them; the outcome's lie first.
    """
    augmented = torch.empty(images.shape, dtype=torch.uint8)
    for into, image in zip(augmented.numpy(), images.permute(0, 2, 3, 1).contiguous().numpy(), strict=True):
        outcome = policy(Image.fromarray(image))
        for plane, band in zip(into, "RGB", strict=True):
            plane[:] = np.frombuffer(outcome.tobytes("raw", band), np.uint8).reshape(plane.shape)
    return augmented
