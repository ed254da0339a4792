"""Input images of a command, in batches at every size that a set needs: files, or a split of a labelled source."""

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
from raysearch.io import is_url
from raysearch.predict.decoding import Batch, choose_batch_size
from raysearch.predict.files import open_files, open_parquet


class Images(Protocol):
    """An ordered collection of images."""

    @property
    def ids(self) -> Sequence[str]:
        """Ids of all images, in order."""

    def batches(self, image_sizes: Sequence[int], faults: list[str]) -> Iterator[Batch]:
        """Batches of the readable images, in the order of `ids`; ``faults`` gets a line for each other image."""


@dataclass(frozen=True)
class First:
    """The first ``count`` images of a collection."""

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
    """One split of a labelled source. Its datasets differ only in image size."""

    name: str
    datasets: dict[int, Dataset]
    """By image size in pixels"""

    @property
    def dataset(self) -> Dataset:
        return next(iter(self.datasets.values()))

    @property
    def ids(self) -> Sequence[str]:
        return self.dataset.splits[self.name].sample_ids

    @property
    def labels(self) -> np.ndarray:
        """int64 [samples]: indices into the classes of the source"""
        return self.dataset.splits[self.name].labels

    def batches(self, image_sizes: Sequence[int], faults: list[str]) -> Iterator[Batch]:
        """See `Images.batches`. Every image of a split is readable, so ``faults`` stays empty."""
        splits = {size: self.datasets[size].splits[self.name] for size in image_sizes}
        batch_size = choose_batch_size(image_sizes)
        for start in range(0, len(self.ids), batch_size):
            rows = slice(start, start + batch_size)
            yield list(self.ids[rows]), {size: split.images[rows] for size, split in splits.items()}


def open_images(texts: Sequence[str], split: str | None, image_sizes: Sequence[int], data: DataConfig) -> Images:
    """Open the images that the command-line arguments ``texts`` name.

    They name a labelled source if ``split`` is given, or if the only argument is `digits` or a folder of Parquet files.
    Otherwise they are Parquet files, or image files and folders. ``data``: see `open_split`. Raises `DataError` for
    arguments that cannot be opened or do not go together.
    """
    if urls := [text for text in texts if is_url(text) and not Path(text).exists()]:
        raise DataError(f"{url}: is a URL; download the images and give the file or folder" for url in urls)
    if split or _is_source(texts):
        if len(texts) > 1:
            raise DataError(f"--split {split}: requires exactly one source, got {len(texts)}: {', '.join(texts)}")
        return open_split(texts[0], split or "test", image_sizes, data)
    is_parquet = [text.lower().endswith(".parquet") for text in texts]
    if all(is_parquet):
        return open_parquet(texts)
    if any(is_parquet):
        raise DataError(f"{texts[is_parquet.index(True)]}: Parquet files cannot be mixed with other images")
    if "digits" in texts and not Path("digits").exists():
        raise DataError("digits: a labelled source must be the only argument; run the command once for each source")
    return open_files(texts)


def open_split(source: str, split: str, image_sizes: Sequence[int], data: DataConfig) -> LabelledSplit:
    """Open ``split`` of ``source`` at every size. Raises one `DataError` that lists every fault of the split.

    ``data``: data settings of the study. A source without splits is split by these settings, so its `test` contains no
    image that the study has learned from. If the study merged train and held_out, they are merged here, too.
    """
    name, config = split_name(split), _configure_source(source, data)
    return LabelledSplit(name, {size: open_dataset(config, size, [name]) for size in image_sizes})


def _is_source(texts: Sequence[str]) -> bool:
    if len(texts) > 1:
        return False
    path = Path(texts[0])
    return texts[0] == "digits" or (path.is_dir() and detect_folder_kind(path) == "parquet")


def _configure_source(source: str, data: DataConfig) -> DataConfig:
    """Data settings for ``source``. Splits that the source does not define are made as in ``data``."""
    config = DataConfig(source=source)
    if source == "digits" or detect_folder_kind(source_folder(config)) == "class_folders":
        # With folds, some model learns from every image of train and held_out, so no fold is held out here.
        return data.model_copy(update={"source": source, "folds": None, "folds_trained": None, "fold": None})
    if not {"train", "held_out"} <= set(available_splits(config)):
        return config
    merged = data.merged_held_out_per_class
    return config.model_copy(update={"merged_held_out_per_class": merged, "seed": data.seed})
