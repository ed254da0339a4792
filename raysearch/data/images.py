"""Decoding, and the one preprocessing that training and prediction share."""

import io
import os
import struct
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from raysearch.data.files import SUFFIXES, nearest_sibling, walk_images
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
"""What turns an image of each EXIF orientation upright (EXIF 2.32, table 6)."""


class BadImage(ValueError):
    """Bytes that cannot be decoded; the message is the reason."""


def prepare_image(image: Image.Image, image_size: int) -> np.ndarray:
    """``image`` as the network sees it: uint8 [image_size, image_size, 3].

    Upright by its EXIF orientation, RGB (see `to_rgb`), first frame, the centre square resized bicubically
    with antialiasing. Raises `OSError` for a truncated file, `BadImage` for pixels without a known range.
    """
    return square(to_rgb(image), image_size)


def to_rgb(image: Image.Image) -> Image.Image:
    """The first frame, upright, in 8-bit RGB.

    16-bit grey is divided by 257 (65535 becomes 255); transparency is laid over white.
    """
    image.load()  # before the orientation is read: TIFF turns itself here, PNG may store it behind the pixels
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
    """The centre square of an RGB image, resized: uint8 [image_size, image_size, 3]."""
    return np.asarray(ImageOps.fit(image, (image_size, image_size), Image.Resampling.BICUBIC))


def decode(stored: bytes) -> Image.Image:
    """An encoded image as 8-bit RGB. Raises `BadImage`; a truncated image is bad, never half black."""
    if not stored:
        raise BadImage("empty file (0 bytes)")
    try:
        with Image.open(io.BytesIO(stored)) as image:
            return to_rgb(image)
    except UnidentifiedImageError:
        raise BadImage(f"not an image in a known format ({len(stored)} bytes)") from None
    except Exception as error:  # decoders raise many kinds for malformed bytes
        raise BadImage(str(error) or type(error).__name__) from error


@contextmanager
def decoding_pool() -> Iterator[ThreadPoolExecutor]:
    """Threads to decode in, without Pillow's remarks on odd but readable files.

    The filter is set around the threads, not in them, because warning filters are the whole process's.
    """
    with warnings.catch_warnings(), ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield pool


def find_images(path: Path) -> list[Path]:
    """The file itself, or every image below a folder, sorted; hidden files and folders are left out.

    Raises `DataError` when there is nothing at ``path``, or no image below it.
    """
    if path.is_file():
        return [path]
    where = display_path(path)
    if not path.is_dir():
        raise DataError(f"{where}: no such file or folder{nearest_sibling(path)}")
    faults: list[str] = []
    found = [Path(entry.path) for entry in walk_images(path, faults)]
    if not found and not faults:
        faults = [f"{where}: no images in it ({', '.join(SUFFIXES)})"]
    if faults:
        raise DataError(faults)
    return found


def read_images(
    paths: Sequence[Path], image_size: int, batch_size: int = 256
) -> Iterator[tuple[list[str], np.ndarray]]:
    """Prepared images of loose files, in order: the paths as text, and uint8 [batch, size, size, 3].

    Nothing more is handed out after the first undecodable file; all of them are then named in one `DataError`.
    """
    faults: list[str] = []
    for start in range(0, len(paths), batch_size):
        batch = paths[start : start + batch_size]
        with decoding_pool() as pool:
            results = list(pool.map(partial(_read_image, image_size=image_size), batch))
        faults += [result for result in results if isinstance(result, str)]
        if not faults:
            yield [path.as_posix() for path in batch], np.stack(results)
    if faults:
        raise DataError(faults)


def _read_image(path: Path, image_size: int) -> np.ndarray | str:
    try:
        return square(decode(path.read_bytes()), image_size)
    except BadImage as error:
        return f"{display_path(path)}: cannot be decoded: {error}"
    except OSError as error:
        return f"{display_path(path)}: cannot be read: {error.strerror}"


def _orientation(image: Image.Image) -> int:
    try:
        return image.getexif().get(_ORIENTATION_TAG, 1)
    except (SyntaxError, struct.error, ValueError, KeyError, TypeError):  # malformed EXIF beside good pixels
        return 1


def _from_16_bit(image: Image.Image) -> Image.Image:
    pixels = np.asarray(image)
    if pixels.min() < 0 or pixels.max() > 65535:
        raise BadImage(f"pixels {pixels.min()}..{pixels.max()} are beyond 16 bits; store 8 or 16 bits")
    return Image.fromarray(np.round(pixels / 257).astype(np.uint8)).convert("RGB")
