"""torchvision's random policies on Pillow images: the same draws and the same pixels in less time.

In most operations, the new value of a pixel depends only on its old value and its channel. Such an operation is a table
of 256 values per channel. Consecutive tables combine into one table, which is applied when the pixels are read.
Equalize and autocontrast also need the histogram, which follows from the image's histogram and the table. So tables
accumulate until an operation needs the pixels or the policy ends. Pillow performs the operations that need pixels: it
rotates a colour image in a tenth of the time that torchvision takes on tensors.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageStat
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

VALUES = bytes(range(256))
"""The identity table."""
RAMP = Image.frombytes("L", (256, 1), VALUES)
"""An image with one pixel of each value. An operation applied to it gives the operation's table."""


class PendingImage:
    """An RGB image, and one table per channel that is not yet applied to the pixels."""

    def __init__(self, image: Image.Image, tables: Sequence[bytes] = (VALUES,) * 3) -> None:
        self.image, self.tables = image, tables

    def add_tables(self, tables: Sequence[bytes]) -> "PendingImage":
        """The image with ``tables`` to apply after the present ones."""
        return PendingImage(
            self.image, [first.translate(then) for first, then in zip(self.tables, tables, strict=True)]
        )

    @property
    def is_done(self) -> bool:
        return all(table == VALUES for table in self.tables)

    def pixels(self) -> Image.Image:
        return self.image if self.is_done else self.image.point(list(b"".join(self.tables)))

    def planes(self) -> list[bytes]:
        """The pixels of each channel, with the tables applied."""
        bands = zip("RGB", self.tables, strict=True)
        return [self.image.tobytes("raw", band).translate(table) for band, table in bands]

    def histogram(self) -> np.ndarray:
        """Number of pixels by channel and value, with the tables applied: int64 [3, 256]."""
        counts = np.fromiter(self.image.histogram(), np.int64, 3 * 256).reshape(3, 256)
        if self.is_done:
            return counts
        by_channel = zip(self.tables, counts, strict=True)
        return np.stack([np.bincount(np.frombuffer(t, np.uint8), c, 256) for t, c in by_channel]).astype(np.int64)


class _TablePolicy(v2.Transform):
    """Mixin for one of torchvision's policies. The policy draws the operations; this class applies them.

    It overrides a private method, so an update of torchvision may need changes here.
    """

    def _apply_image_or_video_transform(
        self, image: Image.Image | PendingImage, transform_id: str, magnitude: float, **how: Any
    ) -> PendingImage:
        pending = image if isinstance(image, PendingImage) else PendingImage(image)
        if transform_id == "Identity":
            return pending
        if transform_id in FIXED:
            return pending.add_tables([fixed_table(transform_id, magnitude)] * 3)
        if transform_id in FROM_HISTOGRAM:
            return pending.add_tables(FROM_HISTOGRAM[transform_id](pending.histogram()))
        pixels = pending.pixels()
        if transform_id == "Contrast":
            return PendingImage(pixels, [contrast_table(pixels, 1 + magnitude)] * 3)
        return PendingImage(super()._apply_image_or_video_transform(pixels, transform_id, magnitude, **how))


class AutoAugment(_TablePolicy, v2.AutoAugment):
    """Cubuk et al. 2019. For `apply_policy`."""


class RandAugment(_TablePolicy, v2.RandAugment):
    """Cubuk et al. 2020. For `apply_policy`."""


class TrivialAugmentWide(_TablePolicy, v2.TrivialAugmentWide):
    """Müller and Hutter 2021. For `apply_policy`."""


def apply_policy(images: Tensor, policy: Callable[[Image.Image], Image.Image | PendingImage]) -> Tensor:
    """Apply ``policy`` to each image: uint8 [batch, 3, height, width] in and out, on the CPU.

    Channels-last input is fastest, because Pillow uses that layout. The output is contiguous (channels first).
    """
    augmented = torch.empty(images.shape, dtype=torch.uint8)
    for into, image in zip(augmented.numpy(), images.permute(0, 2, 3, 1).contiguous().numpy(), strict=True):
        outcome = policy(Image.fromarray(image))
        pending = outcome if isinstance(outcome, PendingImage) else PendingImage(outcome)
        for channel, plane in zip(into, pending.planes(), strict=True):
            channel[:] = np.frombuffer(plane, np.uint8).reshape(channel.shape)
    return augmented


FIXED: dict[str, Callable[[Image.Image, float], Image.Image]] = {
    "Brightness": lambda image, magnitude: F.adjust_brightness(image, 1 + magnitude),
    "Posterize": lambda image, magnitude: F.posterize(image, int(magnitude)),
    "Solarize": lambda image, magnitude: F.solarize(image, 255 * magnitude),
    "Invert": lambda image, magnitude: F.invert(image),
}
"""Operations with the same table for every image, by their name in torchvision's policies."""


@cache  # a policy uses only a few magnitudes of each operation
def fixed_table(transform_id: str, magnitude: float) -> bytes:
    return FIXED[transform_id](RAMP, magnitude).tobytes()


def contrast_table(image: Image.Image, factor: float) -> bytes:
    """The table of `PIL.ImageEnhance.Contrast`, which scales the distance to the image's mean grey by ``factor``."""
    mean = int(ImageStat.Stat(image.convert("L")).mean[0] + 0.5)
    return Image.blend(Image.new("L", RAMP.size, mean), RAMP, factor).tobytes()


def equalize_tables(histogram: np.ndarray) -> list[bytes]:
    """The tables of `PIL.ImageOps.equalize`, which make the histogram of each channel about uniform."""
    _, brightest = _ends(histogram)
    step = (histogram.sum(1, keepdims=True) - np.take_along_axis(histogram, brightest, 1)) // 255
    below = histogram.cumsum(1) - histogram
    return _tables((step // 2 + below) // np.maximum(step, 1), step > 0)


def autocontrast_tables(histogram: np.ndarray) -> list[bytes]:
    """The tables of `PIL.ImageOps.autocontrast`: the darkest value becomes 0 and the brightest 255."""
    darkest, brightest = _ends(histogram)
    scale = 255.0 / np.maximum(brightest - darkest, 1)
    return _tables((np.arange(256) * scale - darkest * scale).astype(np.int64), brightest > darkest)


FROM_HISTOGRAM = {"AutoContrast": autocontrast_tables, "Equalize": equalize_tables}


def _ends(histogram: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The darkest and the brightest value of each channel, int64 [3, 1]."""
    is_present = histogram > 0
    return is_present.argmax(1, keepdims=True), 255 - is_present[:, ::-1].argmax(1, keepdims=True)


def _tables(values: np.ndarray, is_changed: np.ndarray) -> list[bytes]:
    """``values``, int64 [3, 256], as tables; the identity for channels without ``is_changed``, bool [3, 1]."""
    tables = np.where(is_changed, values.clip(0, 255), np.arange(256)).astype(np.uint8)
    return [table.tobytes() for table in tables]
