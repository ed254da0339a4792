"""The images that a verb is given, batch by batch at every size that a set needs: loose files or a source's split."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from raysearch.config import DataConfig
from raysearch.data import Dataset, available_splits, find_images, open_dataset, read_images, split_name
from raysearch.data.sources import kind_of, source_folder

BATCH_SIZE = 256

Batch: TypeAlias = tuple[list[str], dict[int, np.ndarray]]
"""Sample ids, and by image size uint8 [batch, size, size, 3]."""


@dataclass(frozen=True)
class LooseImages:
    """One image file, or every image below a folder; an id is the path below that folder."""

    root: Path
    paths: Sequence[Path]

    def __len__(self) -> int:
        return len(self.paths)

    def batches(self, image_sizes: Sequence[int]) -> Iterator[Batch]:
        """In the order of `paths`. Raises `DataError` naming every file that cannot be decoded."""
        folder = self.root if self.root.is_dir() else self.root.parent
        readers = (read_images(self.paths, size, BATCH_SIZE) for size in image_sizes)
        for parts in zip(*readers, strict=True):
            ids = [Path(path).relative_to(folder).as_posix() for path in parts[0][0]]
            yield ids, {size: images for size, (_, images) in zip(image_sizes, parts, strict=True)}


@dataclass(frozen=True)
class LabelledSplit:
    """One split of a labelled source, opened at every size; the datasets differ in nothing else."""

    name: str
    datasets: dict[int, Dataset]

    @property
    def dataset(self) -> Dataset:
        return next(iter(self.datasets.values()))

    @property
    def labels(self) -> np.ndarray:
        """int64 [samples], indices in the source's classes"""
        return self.dataset.splits[self.name].labels

    def __len__(self) -> int:
        return len(self.labels)

    def batches(self, image_sizes: Sequence[int]) -> Iterator[Batch]:
        """In the order of the split."""
        splits = {size: self.datasets[size].splits[self.name] for size in image_sizes}
        ids = self.dataset.splits[self.name].sample_ids
        for start in range(0, len(self), BATCH_SIZE):
            rows = slice(start, start + BATCH_SIZE)
            yield list(ids[rows]), {size: split.images[rows] for size, split in splits.items()}


def open_images(
    text: str, split: str | None, image_sizes: Sequence[int], data: DataConfig
) -> LooseImages | LabelledSplit:
    """What ``text`` means: a source if ``split`` is given, if it is `digits` or a folder of Parquet files, else files.

    ``data`` as in `open_split`. Raises `DataError` as the source or the search for files does.
    """
    path = Path(text)
    if split or text == "digits" or (path.is_dir() and kind_of(path) == "parquet"):
        return open_split(text, split or "test", image_sizes, data)
    return LooseImages(path, find_images(path))


def open_split(source: str, split: str, image_sizes: Sequence[int], data: DataConfig) -> LabelledSplit:
    """Only ``split`` of ``source``, at every size; raises one `DataError` with every fault of it.

    A source without splits of its own is split by the settings in ``data``, the study's, so that its `test` holds
    nothing that the study has learned from; and where the study has merged train and held_out, so are the source's.
    """
    name, config = split_name(split), _split_as(source, data)
    return LabelledSplit(name, {size: open_dataset(config, size, [name]) for size in image_sizes})


def _split_as(source: str, data: DataConfig) -> DataConfig:
    """``source`` with its splits made as those of ``data``, as far as it leaves them to be made."""
    config = DataConfig(source=source)
    if source == "digits" or kind_of(source_folder(config)) == "class_folders":
        return data.model_copy(update={"source": source})
    if not {"train", "held_out"} <= set(available_splits(config)):
        return config
    merged = data.merged_held_out_per_class
    return config.model_copy(update={"merged_held_out_per_class": merged, "seed": data.seed})
