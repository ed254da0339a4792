"""A checkpoint set as a classifier with the usual methods."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from PIL import Image

from raysearch.errors import DataError, UserError
from raysearch.io import display_path
from raysearch.predict.checkpoint_set import CheckpointSet, load_set
from raysearch.predict.decoding import Encoded, decode_batches

ImageLike: TypeAlias = str | Path | Image.Image | np.ndarray
"""An image file's path, a PIL image, or uint8 [height, width] (grey) or [height, width, 3] (RGB)."""


def load(folder: str | Path) -> "Model":
    """Load the checkpoint set in ``folder``, onto the GPU where there is one.

    Every file is compared with its SHA-256 first. Raises `SetError`, which names each file that is
    missing, altered or of another version.
    """
    return Model(load_set(Path(folder)))


class Model:
    """An ensemble that classifies images. Made by `raysearch.load`."""

    def __init__(self, checkpoint_set: CheckpointSet) -> None:
        self._set = checkpoint_set

    def __repr__(self) -> str:
        members, classes = len(self._set.members), len(self.classes)
        return f"<raysearch.Model {self.name!r} of study {self.study!r}: {members} members, {classes} classes>"

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the columns of `predict_proba`."""
        return self._set.classes

    @property
    def name(self) -> str:
        """Name of the ensemble."""
        return self._set.manifest.name

    @property
    def study(self) -> str:
        """Name of the study that trained it."""
        return self._set.manifest.study

    @property
    def figures(self) -> Mapping[str, Any]:
        """Held-out figures of the ensemble: `cross_fitted`, `in_sample`, `gain`, ...; shares in [0, 1] and nats."""
        return self._set.manifest.figures

    def predict_proba(self, images: ImageLike | Iterable[ImageLike], *, calibrated: bool = True) -> np.ndarray:
        """Class probabilities of ``images``: float64 [images, classes], columns in the order of `classes`.

        ``images``: one image or several, of any size and mixed kinds; uint8 [images, height, width, 3] is several.
        ``calibrated``: scaled by the set's temperature, which does not change the order of the classes. Raises
        `DataError`, which names every image that cannot be read, and `UserError` for other objects.
        """
        encoded = [_encode(image, index) for index, image in enumerate(_as_list(images))]
        if not encoded:
            return np.zeros((0, len(self.classes)))
        faults: list[str] = []
        votes = [self._set.predict(batch) for _, batch in decode_batches(encoded, self._set.image_sizes, faults)]
        if faults:
            raise DataError(faults)
        probs = np.concatenate(votes)
        return self._set.calibrated(probs) if calibrated else probs

    def predict(self, images: ImageLike | Iterable[ImageLike]) -> list[str]:
        """Name of the most probable class of each image. Arguments and errors as of `predict_proba`."""
        return [self.classes[index] for index in self.predict_proba(images).argmax(axis=1)]


def _as_list(images: ImageLike | Iterable[ImageLike]) -> Sequence[ImageLike]:
    if isinstance(images, str | Path | Image.Image) or (isinstance(images, np.ndarray) and images.ndim < 4):
        return [images]
    return list(images)


def _encode(image: Any, index: int) -> Encoded:
    """``image`` as the decoder takes it; ``index``: its place among the images given, for messages."""
    if isinstance(image, str | Path):
        return Encoded(str(image), display_path(image), Path(image))
    where = f"image {index}"
    if isinstance(image, Image.Image):
        return Encoded(where, where, image)
    if isinstance(image, np.ndarray):
        is_image = image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)
        if image.dtype != np.uint8 or not is_image or 0 in image.shape:
            raise UserError(
                f"{where}: an array must be uint8 [height, width] or [height, width, 3] with values 0 to 255, got "
                f"{image.dtype} {list(image.shape)}"
            )
        return Encoded(where, where, Image.fromarray(image))
    raise UserError(f"{where}: expected a path, a PIL image or a uint8 array, got {type(image).__name__}")
