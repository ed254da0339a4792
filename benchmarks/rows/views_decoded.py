"""Two strong views of 16 photographs at 224 px, `storage: decoded`, against torchvision v2 from the JPEG files.

A view is a random resized crop, a flip, AutoAugment's ImageNet policy and normalisation to floats. Both sides return
one batch. Ours is what a training calls: `images[...]` of the train split, which is cached with a short side of 256 px,
`augment_view` twice and `normalise`. The peer applies torchvision's transforms of the same names to the files (500 x
375), each decoded once for both views. It decodes with Pillow, because torchvision's own decoder is deprecated, and
works on tensors or on Pillow images, whichever is faster. Its `RandomResizedCrop` samples from the same range of areas.
"""

import io
import os
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Generator, Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from benchmarks.measure import Measured, median_ratio, milliseconds, paired
from raysearch.augment import augment_view
from raysearch.config import IMAGE_MEAN, IMAGE_STD, AugmentConfig, DataConfig
from raysearch.data.dataset import open_dataset
from raysearch.data.whole import WholeImages
from raysearch.models import normalise

NAME = "views_decoded"
BOUND = 2.5
IS_AT_MOST = False

BATCH, SIZE = 16, 224
CONFIG = AugmentConfig(crop="resized", policy="autoaugment")
NOTE = f"two views of {BATCH} images at {SIZE} px, one thread"


def measure() -> Measured:
    files = some_photos()
    with cached(files, DataConfig(storage="decoded")) as images:
        return measured(images, files, NOTE)


def measured(images: WholeImages, files: Sequence[bytes], note: str) -> Measured:
    """Our views of ``images`` against the peer's views of ``files``, in the faster of its two forms."""
    ours = partial(our_views, images, Generator().manual_seed(0))
    outcomes = []
    for name, decode in (("tensors", as_tensor), ("Pillow images", as_pillow)):
        our_seconds, their_seconds = paired(ours, partial(their_views, files, decode), pairs=15)
        outcomes.append((statistics.median(their_seconds), our_seconds, their_seconds, name))
    (_, *fast, faster), (_, *slow, slower) = sorted(outcomes, key=lambda outcome: outcome[0])
    note = f"{note}; peer on {faster}; on {slower} {milliseconds(slow[1])}: {median_ratio(slow[1], slow[0]):.2f}x"
    return Measured(median_ratio(fast[1], fast[0]), milliseconds(fast[0]), milliseconds(fast[1]), note)


def our_views(images: WholeImages, generator: Generator) -> Tensor:
    """The input pipeline of a training, without erasing and mixing."""
    batch = images[np.arange(BATCH)]
    return normalise(torch.cat([augment_view(batch, CONFIG, SIZE, generator) for _ in range(2)]))


def their_views(files: Sequence[bytes], decode: Callable[[bytes], Any]) -> Tensor:
    images = [decode(file) for file in files]
    return torch.stack([THEIRS(image) for _ in range(2) for image in images])


def as_tensor(file: bytes) -> Tensor:
    return F.pil_to_tensor(Image.open(io.BytesIO(file)))


def as_pillow(file: bytes) -> Image.Image:
    return Image.open(io.BytesIO(file)).convert("RGB")


THEIRS = v2.Compose(
    [
        v2.RandomResizedCrop(SIZE, scale=(CONFIG.crop_scale, 1.0), antialias=True),
        v2.RandomHorizontalFlip(CONFIG.hflip),
        v2.AutoAugment(v2.AutoAugmentPolicy.IMAGENET),
        v2.PILToTensor(),
        v2.ToDtype(torch.float32, scale=True),
        v2.Normalize(IMAGE_MEAN, IMAGE_STD),
    ]
)


def some_photos() -> list[bytes]:
    """JPEG files of about 90 kB, alternately portrait and landscape: noise with the spectrum of photographs."""
    rng = np.random.default_rng(0)
    return [_photo(rng, *((500, 375) if number % 2 else (375, 500))) for number in range(BATCH)]


def _photo(rng: np.random.Generator, height: int, width: int) -> bytes:
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    frequency[0, 0] = 1 / width
    real, imaginary = rng.normal(size=(2, 3, height, width // 2 + 1))
    channels = np.fft.irfft2((real + 1j * imaginary) / frequency**1.25, (height, width))
    channels[1:] = 0.8 * channels[:1] + 0.35 * channels[1:]
    channels = (channels - channels.mean()) / channels.std()
    content = io.BytesIO()
    pixels = (128 + 52 * channels).clip(0, 255).astype(np.uint8)
    Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0))).save(content, "JPEG", quality=90)
    return content.getvalue()


@contextmanager
def cached(files: Sequence[bytes], config: DataConfig) -> Iterator[WholeImages]:
    """The images of a train split of ``files``, in a temporary cache."""
    before = os.environ.get("RAYSEARCH_CACHE")
    with tempfile.TemporaryDirectory() as folder:
        for split, count in (("train", len(files)), ("val", 2)):
            for number, file in enumerate(files[-count:]):
                path = Path(folder, "source", split, f"class{number % 2}", f"{number:02d}.jpg")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(file)
        config = config.model_copy(update={"source": str(Path(folder, "source"))})
        os.environ["RAYSEARCH_CACHE"] = str(Path(folder, "cache"))
        try:
            yield open_dataset(config, SIZE, ["train"], whole_train=True).splits["train"].images
        finally:
            os.environ.pop("RAYSEARCH_CACHE")
            os.environ.update({"RAYSEARCH_CACHE": before} if before is not None else {})
