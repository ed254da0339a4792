"""Decoding, and the preprocessing that training and prediction share."""

import io
import os
import struct
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from raysearch.data.files import SUFFIXES, suggest_sibling, walk_images
from raysearch.errors import DataError
from raysearch.io import display_path

_ORIENTATION_TAG = 0x0112

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""The operation that turns an image upright, by EXIF orientation (EXIF 2.32, table 6)."""


class BadImage(ValueError):
    """The bytes cannot be decoded; the message is the reason."""


def prepare_image(image: Image.Image, image_size: int) -> np.ndarray:
    """The network's input before normalisation: uint8 [image_size, image_size, 3].

    Converts with `to_rgb`, then resizes the centre square bicubically with antialiasing. Raises `OSError` for a
    truncated file and `BadImage` for pixels without a known range.
    """
    return square(to_rgb(image), image_size)


def to_rgb(image: Image.Image) -> Image.Image:
    """The first frame in 8-bit RGB, turned upright by its EXIF orientation.

    Divides 16-bit grey by 257 (65535 becomes 255) and lays transparent images over white.
    """
    image.load()  # before reading the orientation: Pillow turns TIFF here, and PNG may store the EXIF after the pixels
    if (orientation := _orientation(image)) in _UPRIGHT:
        image = image.transpose(_UPRIGHT[orientation])
    if image.mode == "I" or image.mode.startswith("I;16"):
        return _from_16_bit(image)
    if image.mode == "F":
        raise BadImage("floating-point pixels have no known range; store 8 or 16 bits")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def square(image: Image.Image, image_size: int) -> np.ndarray:
    """The resized centre square of an RGB image: uint8 [image_size, image_size, 3]."""
    return np.asarray(ImageOps.fit(image, (image_size, image_size), Image.Resampling.BICUBIC))


def convert_image(image: Image.Image) -> Image.Image:
    """`to_rgb` of an opened image. Raises `BadImage` if its pixels cannot be read."""
    try:
        return to_rgb(image)
    except Exception as error:  # a file that is closed or cut off; decoders raise many kinds of error
        raise BadImage(str(error) or type(error).__name__) from error


def decode(stored: bytes) -> Image.Image:
    """An encoded image as 8-bit RGB. Raises `BadImage`, also for a truncated image."""
    if not stored:
        raise BadImage("empty file (0 bytes)")
    try:
        with Image.open(io.BytesIO(stored)) as image:
            return to_rgb(image)
    except UnidentifiedImageError:
        raise BadImage(f"not an image in a known format ({len(stored)} bytes)") from None
    except Exception as error:  # Pillow's decoders raise many types for malformed bytes
        raise BadImage(str(error) or type(error).__name__) from error


@contextmanager
def decoding_pool() -> Iterator[ThreadPoolExecutor]:
    """A thread pool for decoding, with Pillow's warnings about unusual but readable files switched off.

    Warning filters belong to the process, so they are set once around the threads.
    """
    with warnings.catch_warnings(), ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield pool


def find_images(path: Path) -> list[Path]:
    """The file ``path``, or every image below the folder ``path``, sorted. Skips hidden files and folders.

    Raises `DataError` if ``path`` does not exist or contains no image.
    """
    if path.is_file():
        return [path]
    where = display_path(path)
    if not path.is_dir():
        raise DataError(f"{where}: no such file or folder{suggest_sibling(path)}")
    faults: list[str] = []
    found = [Path(entry.path) for entry in walk_images(path, faults)]
    if not found and not faults:
        faults = [f"{where}: no images in this folder ({', '.join(SUFFIXES)})"]
    if faults:
        raise DataError(faults)
    return found


def _orientation(image: Image.Image) -> int:
    try:
        return image.getexif().get(_ORIENTATION_TAG, 1)
    except (
        SyntaxError,
        struct.error,
        ValueError,
        KeyError,
        TypeError,
    ):  # malformed EXIF; the pixels are usable
        return 1


def _from_16_bit(image: Image.Image) -> Image.Image:
    pixels = np.asarray(image)
    if pixels.min() < 0 or pixels.max() > 65535:
        raise BadImage(f"pixels {pixels.min()}..{pixels.max()} are outside the 16-bit range; store 8 or 16 bits")
    return Image.fromarray(np.round(pixels / 257).astype(np.uint8)).convert("RGB")
