"""A table of images per class and split, as text."""

from collections.abc import Sequence

import numpy as np

from raysearch.config import DataConfig, TrialConfig
from raysearch.data.dataset import Dataset, open_dataset
from raysearch.data.sources import available_splits


def check_source(source: str, splits: Sequence[str] | None = None) -> list[str]:
    """Decode every image of ``source`` and return the lines of its `format_summary`.

    ``splits``: train, val or test; None: train, val, and test if it exists. Raises one `DataError` with all faults.
    """
    config = DataConfig(source=source)
    if not splits:
        splits = ["train", "held_out", *(["test"] if "test" in available_splits(config) else [])]
    return format_summary(open_dataset(config, TrialConfig().image_size, splits))


def format_summary(dataset: Dataset) -> list[str]:
    """Source, classes, fingerprint, and a table of images per class and split, as lines."""
    counts = [np.bincount(split.labels, minlength=len(dataset.classes)) for split in dataset.splits.values()]
    rows = [("class", *dataset.splits), *zip(dataset.classes, *counts, strict=True)]
    rows.append(("all", *dataset.counts.values()))
    width = max(len(str(row[0])) for row in rows)
    return [
        f"source       {dataset.source}",
        f"classes      {len(dataset.classes)}",
        f"fingerprint  {dataset.fingerprint or 'needs both train and held_out'}",
        "",
        *("  ".join([str(row[0]).ljust(width), *(str(cell).rjust(8) for cell in row[1:])]) for row in rows),
    ]
