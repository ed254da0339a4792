"""The checked splits of a source, ready for training."""

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from raysearch.config import DataConfig
from raysearch.data.cache import read_split
from raysearch.data.folding import fold_splits
from raysearch.data.image_storage import ImageStorage, Squares
from raysearch.data.merging import MERGED, merge_splits
from raysearch.data.records import Source, split_name
from raysearch.data.sources import list_source
from raysearch.data.whole import Whole, WholeImages
from raysearch.errors import DataError
from raysearch.io import display_path

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Split:
    """The labelled images of one split, read-only and memory-mapped."""

    name: str
    sample_ids: tuple[str, ...]
    labels: np.ndarray
    """int64 [samples], indices in the dataset's classes"""
    images: Any
    """uint8 array [samples, image_size, image_size, 3]; `WholeImages` for the train split if the dataset has
    `whole_train`"""

    def __len__(self) -> int:
        return len(self.sample_ids)


@dataclass(frozen=True)
class Dataset:
    """The requested splits of one source."""

    source: str
    classes: tuple[str, ...]
    fingerprint: str | None
    """SHA-256 of the labelled train and held_out data, the same for all folds; None if one of the two was not
    requested"""
    image_size: int
    splits: Mapping[str, Split]
    config: DataConfig
    whole_train: bool = False
    """Whether the train images are `WholeImages`"""

    @property
    def counts(self) -> dict[str, int]:
        """Images in each split."""
        return {name: len(split) for name, split in self.splits.items()}

    def resized(self, image_size: int, splits: Sequence[str] | None = None) -> "Dataset":
        """The same data at another image size. ``splits``: default all. Raises `DataError` if the data has changed."""
        other = open_dataset(self.config, image_size, splits or tuple(self.splits), self.whole_train)
        if None not in (self.fingerprint, other.fingerprint) and self.fingerprint != other.fingerprint:
            raise DataError(f"{display_path(self.source)}: the images have changed since the run began")
        return replace(other, fingerprint=other.fingerprint or self.fingerprint)


def open_dataset(
    config: DataConfig, image_size: int, splits: Sequence[str] = ("train", "held_out"), whole_train: bool = False
) -> Dataset:
    """Open splits of ``config.source``, with every image prepared at ``image_size`` (`prepare_image`).

    With ``whole_train`` the train images are `WholeImages`, stored according to ``config``. The first call decodes
    into the cache (`raysearch.paths.data_cache`); later calls map it. Raises one `DataError` with all faults of the
    requested splits; other splits need not exist.
    """
    names = tuple(dict.fromkeys(split_name(split) for split in splits))
    source = _list_source(config, names)
    faults = list(source.faults)
    tables = {}
    for name, listed in source.splits.items():
        if name in names:
            storage = _choose_storage(config, image_size, whole_train and name == "train")
            tables[name], wrong = read_split(config.source, name, listed, storage)
            faults += wrong
            if not tables[name].num_rows and not faults:
                faults.append(f"{config.source}: no images in split {name}")
    faults += _find_shared_images(config.source, tables)
    if "train" in names and len(source.classes) == 1:
        faults.append(f"{display_path(config.source)}: at least two classes are needed, got only {source.classes[0]!r}")
    if faults:
        raise DataError(dict.fromkeys(faults))
    return Dataset(
        source=config.source,
        classes=source.classes,
        fingerprint=_compute_fingerprint(tables, source.classes, config.folds),
        image_size=image_size,
        splits={name: _build_split(name, tables[name], image_size) for name in names},
        config=config,
        whole_train=whole_train,
    )


def default_stored_side(image_size: int) -> int:
    """Largest short side, in pixels, of stored whole images for crops of ``image_size``."""
    # 8 / 7: the usual ratio of 256 to 224 px between the resized image and its crop.
    return round(image_size * 8 / 7)


def _list_source(config: DataConfig, names: Sequence[str]) -> Source:
    """The source with the splits ``names``, and with the splits that they are merged from."""
    make = merge_splits if config.merged_held_out_per_class else fold_splits if config.folds else None
    if make is None or not set(MERGED) & set(names):
        return list_source(config, names)
    return make(list_source(config, tuple(dict.fromkeys((*MERGED, *names)))), config)


def _choose_storage(config: DataConfig, image_size: int, is_whole: bool) -> ImageStorage:
    if not is_whole:
        return Squares(image_size)
    return Whole(config.stored_side or default_stored_side(image_size), config.storage)


def _build_split(name: str, table: pa.Table, image_size: int) -> Split:
    return Split(
        name=name,
        sample_ids=tuple(table["sample_id"].to_pylist()),
        labels=table["label"].to_numpy(),
        images=WholeImages(table) if "height" in table.column_names else _map_squares(table, image_size),
    )


def _map_squares(table: pa.Table, image_size: int) -> np.ndarray:
    return table["image"].chunk(0).flatten().to_numpy().reshape(-1, image_size, image_size, 3)


def _compute_fingerprint(tables: Mapping[str, pa.Table], classes: Sequence[str], folds: int | None) -> str | None:
    """A hash of the images and their splits. All folds have the same one, because each image is held out once."""
    if not {"train", "held_out"} <= set(tables):
        return None
    rows = []
    for split in ("train", "held_out"):
        columns = _columns(tables[split], "sample_id", "label", "stored_sha256")
        rows += [
            [f"{folds} folds" if folds else split, sample_id, classes[label], stored.hex()]
            for sample_id, label, stored in columns
        ]
    return hashlib.sha256(json.dumps(sorted(rows)).encode()).hexdigest()


def _find_shared_images(source: str, tables: Mapping[str, pa.Table]) -> list[str]:
    """A fault for each pair of equal images in train and held_out. Equal images in test are only logged."""
    where = display_path(source)
    for name in ("train", "held_out"):
        if pairs := _find_equal_pairs(tables, name, "test"):
            first = " and ".join(pairs[0])
            log.warning("%s: %d images of %s are also in test, first %s", where, len(pairs), name, first)
    return [
        f"{where}: train image {a} and held_out image {b} are the same; remove one of them"
        for a, b in _find_equal_pairs(tables, "train", "held_out")
    ]


def _find_equal_pairs(tables: Mapping[str, pa.Table], a: str, b: str) -> list[tuple[str, str]]:
    """Sample ids of all pairs of images with the same pixels, one in split ``a`` and one in split ``b``."""
    if not {a, b} <= set(tables):
        return []
    ids_by_pixels: dict[bytes, list[str]] = {}
    for pixels, sample_id in _columns(tables[a], "pixels_sha256", "sample_id"):
        ids_by_pixels.setdefault(pixels, []).append(sample_id)
    others = _columns(tables[b], "pixels_sha256", "sample_id")
    return [(one, other) for pixels, other in others for one in ids_by_pixels.get(pixels, ())]


def _columns(table: pa.Table, *names: str) -> Iterator[tuple[Any, ...]]:
    return zip(*(table[name].to_pylist() for name in names), strict=True)
