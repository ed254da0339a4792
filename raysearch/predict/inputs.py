"""The images that a verb is given, batch by batch at every size that a set needs: files, or a source's split."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from raysearch.config import DataConfig
from raysearch.data.dataset import Dataset, open_dataset
from raysearch.data.records import split_name
from raysearch.data.sources import available_splits, detect_folder_kind, source_folder
from raysearch.errors import DataError
from raysearch.predict.decoding import Batch, batch_size_of
from raysearch.predict.files import open_files, open_parquet


class Images(Protocol):
    """Images in an order of their own."""

    @property
    def ids(self) -> Sequence[str]:
        """All of them, each once."""

    def batches(self, image_sizes: Sequence[int], faults: list[str]) -> Iterator[Batch]:
        """Those that can be read, in the order of `ids`; ``faults`` gets a line for each that cannot."""


@dataclass(frozen=True)
class First:
    """The first ``count`` of other images."""

    images: Images
    count: int

    @property
    def ids(self) -> Sequence[str]:
        return self.images.ids[: self.count]

    def batches(self, image_sizes: Sequence[int], faults: list[str]) -> Iterator[Batch]:
        left = self.count
        for ids, batch in self.images.batches(image_sizes, faults):
            yield ids[:left], {size: images[:left] for size, images in batch.items()}
            left -= len(ids)
            if left <= 0:
                return


@dataclass(frozen=True)
class LabelledSplit:
    """One split of a labelled source, opened at every size; the datasets differ in nothing else."""

    name: str
    datasets: dict[int, Dataset]

    @property
    def dataset(self) -> Dataset:
        return next(iter(self.datasets.values()))

    @property
    def ids(self) -> Sequence[str]:
        return self.dataset.splits[self.name].sample_ids

    @property
    def labels(self) -> np.ndarray:
        """int64 [samples], indices in the source's classes"""
        return self.dataset.splits[self.name].labels

    def batches(self, image_sizes: Sequence[int], faults: list[str]) -> Iterator[Batch]:
        """In the order of the split, of which every image is readable."""
        splits = {size: self.datasets[size].splits[self.name] for size in image_sizes}
        batch_size = batch_size_of(image_sizes)
        for start in range(0, len(self.ids), batch_size):
            rows = slice(start, start + batch_size)
            yield list(self.ids[rows]), {size: split.images[rows] for size, split in splits.items()}


def open_images(texts: Sequence[str], split: str | None, image_sizes: Sequence[int], data: DataConfig) -> Images:
    """What ``texts`` mean: a source if ``split`` is given, or if it is `digits` or a folder of Parquet files; Parquet
    files; else image files and folders of them.

    ``data`` as in `open_split`. Raises `DataError` as the source or the search for files does.
    """
    if split or _is_source(texts):
        if len(texts) > 1:
            raise DataError(f"--split {split}: goes with one source, got {len(texts)}: {', '.join(texts)}")
        return open_split(texts[0], split or "test", image_sizes, data)
    is_parquet = [text.lower().endswith(".parquet") for text in texts]
    if all(is_parquet):
        return open_parquet(texts)
    if any(is_parquet):
        raise DataError(f"{texts[is_parquet.index(True)]}: Parquet files and other images cannot be given together")
    return open_files(texts)


def open_split(source: str, split: str, image_sizes: Sequence[int], data: DataConfig) -> LabelledSplit:
    """Only ``split`` of ``source``, at every size; raises one `DataError` with every fault of it.

    A source without splits of its own is split by the settings in ``data``, the study's, so that its `test` holds
    nothing that the study has learned from; and where the study has merged train and held_out, so are the source's.
    """
    name, config = split_name(split), _split_as(source, data)
    return LabelledSplit(name, {size: open_dataset(config, size, [name]) for size in image_sizes})


def _is_source(texts: Sequence[str]) -> bool:
    if len(texts) > 1:
        return False
    path = Path(texts[0])
    return texts[0] == "digits" or (path.is_dir() and detect_folder_kind(path) == "parquet")


def _split_as(source: str, data: DataConfig) -> DataConfig:
    """``source`` with its splits made as those of ``data``, as far as it leaves them to be made."""
    config = DataConfig(source=source)
    if source == "digits" or detect_folder_kind(source_folder(config)) == "class_folders":
        # With folds every image of train and held_out is some model's to learn from: they stay as they are called.
        return data.model_copy(update={"source": source, "folds": None, "fold": None})
    if not {"train", "held_out"} <= set(available_splits(config)):
        return config
    merged = data.merged_held_out_per_class
    return config.model_copy(update={"merged_held_out_per_class": merged, "seed": data.seed})
