"""torchvision's random policies on Pillow images: its draws, its pixels, in less time.

Most of their operations give a pixel a new value by its old one and its channel alone. Such an operation is a table of
256 values a channel, several in a row are one table, and a table costs nothing until the pixels are read. Equalizing
and autocontrast need the histogram as well, which follows from the image's own and the table. So tables are joined
until an operation needs the pixels themselves or the policy ends. What needs pixels is left to Pillow, which turns a
colour image in a tenth of the time that tensors take.
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
"""The table that changes nothing."""
RAMP = Image.frombytes("L", (256, 1), VALUES)
"""A pixel of each value: what an operation makes of it is its table."""


class Waiting:
    """An RGB image, and the table of each channel that its pixels have yet to go through."""

    def __init__(self, image: Image.Image, tables: Sequence[bytes] = (VALUES,) * 3) -> None:
        self.image, self.tables = image, tables

    def through(self, tables: Sequence[bytes]) -> "Waiting":
        """``tables`` behind those that wait."""
        return Waiting(self.image, [first.translate(then) for first, then in zip(self.tables, tables, strict=True)])

    @property
    def is_done(self) -> bool:
        return all(table == VALUES for table in self.tables)

    def pixels(self) -> Image.Image:
        return self.image if self.is_done else self.image.point(list(b"".join(self.tables)))

    def planes(self) -> list[bytes]:
        """The pixels, channel by channel."""
        bands = zip("RGB", self.tables, strict=True)
        return [self.image.tobytes("raw", band).translate(table) for band, table in bands]

    def histogram(self) -> np.ndarray:
        """How many pixels of each channel have each value, int64 [3, 256]."""
        counts = np.fromiter(self.image.histogram(), np.int64, 3 * 256).reshape(3, 256)
        if self.is_done:
            return counts
        of_value = zip(self.tables, counts, strict=True)
        return np.stack([np.bincount(np.frombuffer(t, np.uint8), c, 256) for t, c in of_value]).astype(np.int64)


class _WithTables(v2.Transform):
    """Stands before one of torchvision's policies, which draws what is to be done, and takes its place in doing it."""

    def _apply_image_or_video_transform(
        self, image: Image.Image | Waiting, transform_id: str, magnitude: float, **how: Any
    ) -> Waiting:
        waiting = image if isinstance(image, Waiting) else Waiting(image)
        if transform_id == "Identity":
            return waiting
        if transform_id in FIXED:
            return waiting.through([fixed(transform_id, magnitude)] * 3)
        if transform_id in FROM_HISTOGRAM:
            return waiting.through(FROM_HISTOGRAM[transform_id](waiting.histogram()))
        pixels = waiting.pixels()
        if transform_id == "Contrast":
            return Waiting(pixels, [contrasted(pixels, 1 + magnitude)] * 3)
        return Waiting(super()._apply_image_or_video_transform(pixels, transform_id, magnitude, **how))


class AutoAugment(_WithTables, v2.AutoAugment):
    """Cubuk et al. 2019; for `apply_policy`, like the two below."""


class RandAugment(_WithTables, v2.RandAugment):
    """Cubuk et al. 2020."""


class TrivialAugmentWide(_WithTables, v2.TrivialAugmentWide):
    """Müller and Hutter 2021."""


def apply_policy(images: Tensor, policy: Callable[[Image.Image], Image.Image | Waiting]) -> Tensor:
    """``policy`` on each image by itself: uint8 [batch, 3, height, width] in and out, on the CPU.

    Fastest where the channels lie last in memory, as Pillow takes them; the outcome's lie first.
    """
    augmented = torch.empty(images.shape, dtype=torch.uint8)
    for into, image in zip(augmented.numpy(), images.permute(0, 2, 3, 1).contiguous().numpy(), strict=True):
        outcome = policy(Image.fromarray(image))
        waiting = outcome if isinstance(outcome, Waiting) else Waiting(outcome)
        for channel, plane in zip(into, waiting.planes(), strict=True):
            channel[:] = np.frombuffer(plane, np.uint8).reshape(channel.shape)
    return augmented


FIXED: dict[str, Callable[[Image.Image, float], Image.Image]] = {
    "Brightness": lambda image, magnitude: F.adjust_brightness(image, 1 + magnitude),
    "Posterize": lambda image, magnitude: F.posterize(image, int(magnitude)),
    "Solarize": lambda image, magnitude: F.solarize(image, 255 * magnitude),
    "Invert": lambda image, magnitude: F.invert(image),
}
"""Operations whose table is the same for every image, as torchvision's policies call them."""


@cache  # a policy has a few magnitudes of each
def fixed(transform_id: str, magnitude: float) -> bytes:
    return FIXED[transform_id](RAMP, magnitude).tobytes()


def contrasted(image: Image.Image, factor: float) -> bytes:
    """The table of `PIL.ImageEnhance.Contrast`: values are drawn away from the image's mean grey."""
    mean = int(ImageStat.Stat(image.convert("L")).mean[0] + 0.5)
    return Image.blend(Image.new("L", RAMP.size, mean), RAMP, factor).tobytes()


def equalized(histogram: np.ndarray) -> list[bytes]:
    """The tables of `PIL.ImageOps.equalize`: about as many pixels of each value."""
    _, brightest = _ends(histogram)
    step = (histogram.sum(1, keepdims=True) - np.take_along_axis(histogram, brightest, 1)) // 255
    below = histogram.cumsum(1) - histogram
    return _tables((step // 2 + below) // np.maximum(step, 1), step > 0)


def autocontrasted(histogram: np.ndarray) -> list[bytes]:
    """The tables of `PIL.ImageOps.autocontrast`: the darkest value becomes 0, the brightest 255."""
    darkest, brightest = _ends(histogram)
    scale = 255.0 / np.maximum(brightest - darkest, 1)
    return _tables((np.arange(256) * scale - darkest * scale).astype(np.int64), brightest > darkest)


FROM_HISTOGRAM = {"AutoContrast": autocontrasted, "Equalize": equalized}


def _ends(histogram: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The darkest and the brightest value of each channel, int64 [3, 1]."""
    is_there = histogram > 0
    return is_there.argmax(1, keepdims=True), 255 - is_there[:, ::-1].argmax(1, keepdims=True)


def _tables(values: np.ndarray, is_changed: np.ndarray) -> list[bytes]:
    """``values``, int64 [3, 256], as tables; that of a channel without ``is_changed``, bool [3, 1], changes nothing."""
    tables = np.where(is_changed, values.clip(0, 255), np.arange(256)).astype(np.uint8)
    return [table.tobytes() for table in tables]
