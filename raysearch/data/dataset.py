"""A source's splits, checked as a whole and ready to train on."""

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from raysearch.config import DataConfig, display_path
from raysearch.data.cache import read_split
from raysearch.data.records import split_name
from raysearch.data.sources import list_source
from raysearch.errors import DataError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Split:
    """The labelled images of one split, read-only and memory-mapped."""

    name: str
    sample_ids: tuple[str, ...]
    labels: np.ndarray
    """int64 [samples], indices in the dataset's classes"""
    images: np.ndarray
    """uint8 [samples, image_size, image_size, 3]"""

    def __len__(self) -> int:
        return len(self.sample_ids)


@dataclass(frozen=True)
class Dataset:
    """The splits asked for, of one source."""

    source: str
    classes: tuple[str, ...]
    fingerprint: str | None
    """SHA-256 of the labelled train and held_out data; None when one of them was not asked for"""
    image_size: int
    splits: Mapping[str, Split]

    @property
    def counts(self) -> dict[str, int]:
        """Images in each split."""
        return {name: len(split) for name, split in self.splits.items()}


def open_dataset(config: DataConfig, image_size: int, splits: Sequence[str] = ("train", "held_out")) -> Dataset:
    """The splits of ``config.source`` with every image prepared at ``image_size`` (`prepare_image`).

    The first call decodes into the cache (`raysearch.paths.data_cache`), later ones map it. Raises one
    `DataError` with every fault of the splits asked for; other splits need not exist.
    """
    names = tuple(dict.fromkeys(split_name(split) for split in splits))
    source = list_source(config, names)
    faults = list(source.faults)
    tables = {}
    for name, listed in source.splits.items():
        tables[name], wrong = read_split(config.source, name, listed, image_size)
        faults += wrong
        if not tables[name].num_rows and not faults:
            faults.append(f"{config.source}: no images in split {name}")
    faults += _shared_images(config.source, tables)
    if "train" in names and len(source.classes) == 1:
        faults.append(
            f"{display_path(config.source)}: at least two classes must be there, got {source.classes[0]!r} only"
        )
    if faults:
        raise DataError(dict.fromkeys(faults))
    return Dataset(
        source=config.source,
        classes=source.classes,
        fingerprint=_fingerprint(tables, source.classes),
        image_size=image_size,
        splits={name: _split(name, tables[name], image_size) for name in names},
    )


def _split(name: str, table: pa.Table, image_size: int) -> Split:
    pixels = table["image"].chunk(0).flatten().to_numpy()
    return Split(
        name=name,
        sample_ids=tuple(table["sample_id"].to_pylist()),
        labels=table["label"].chunk(0).to_numpy(),
        images=pixels.reshape(-1, image_size, image_size, 3),
    )


def _fingerprint(tables: Mapping[str, pa.Table], classes: Sequence[str]) -> str | None:
    if not {"train", "held_out"} <= set(tables):
        return None
    rows = []
    for split in ("train", "held_out"):
        columns = _columns(tables[split], "sample_id", "label", "stored_sha256")
        rows += [[split, sample_id, classes[label], stored.hex()] for sample_id, label, stored in columns]
    return hashlib.sha256(json.dumps(sorted(rows)).encode()).hexdigest()


def _shared_images(source: str, tables: Mapping[str, pa.Table]) -> list[str]:
    """A fault for each pair of equal images in train and held_out; those of test are only logged."""
    where = display_path(source)
    for name in ("train", "held_out"):
        if pairs := _equal_pairs(tables, name, "test"):
            first = " and ".join(pairs[0])
            log.warning("%s: %d images of %s stand in test too, first %s", where, len(pairs), name, first)
    return [
        f"{where}: train image {a} and held_out image {b} are the same; remove one of them"
        for a, b in _equal_pairs(tables, "train", "held_out")
    ]


def _equal_pairs(tables: Mapping[str, pa.Table], a: str, b: str) -> list[tuple[str, str]]:
    """Sample ids of every two images with the same pixels, one of split ``a`` and one of ``b``."""
    if not {a, b} <= set(tables):
        return []
    of_pixels: dict[bytes, list[str]] = {}
    for pixels, sample_id in _columns(tables[a], "pixels_sha256", "sample_id"):
        of_pixels.setdefault(pixels, []).append(sample_id)
    others = _columns(tables[b], "pixels_sha256", "sample_id")
    return [(one, other) for pixels, other in others for one in of_pixels.get(pixels, ())]


def _columns(table: pa.Table, *names: str) -> Iterator[tuple[Any, ...]]:
    return zip(*(table[name].to_pylist() for name in names), strict=True)
