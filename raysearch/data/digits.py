"""scikit-learn's 1,797 scans of handwritten digits, which come with its installation."""

from collections.abc import Sequence
from functools import partial
from importlib.metadata import version

import numpy as np

from raysearch.config import DataConfig
from raysearch.data.records import Record, Source, SplitSource
from raysearch.data.splitting import divide, sizes_of

CLASSES = tuple("0123456789")
PER_CLASS = 20
"""Images a class in train, and again in held_out, unless the config says otherwise"""


def list_digits(config: DataConfig, splits: Sequence[str]) -> Source:
    """Splits of the embedded data, of which nothing is read until one is loaded."""
    identity = [version("scikit-learn"), config.train_per_class, config.held_out_per_class, config.seed]
    return Source(
        classes=CLASSES,
        splits={split: SplitSource(identity, partial(_load, config, split)) for split in splits},
    )


def _load(config: DataConfig, split: str) -> tuple[list[Record], list[str]]:
    from sklearn.datasets import load_digits  # takes a second, which a cached split need not wait for

    bunch = load_digits()
    greys = np.round(bunch.images * (255 / 16)).astype(np.uint8)
    rows = {f"{row:04d}": row for row in range(len(greys))}
    ids = {name: [i for i, row in rows.items() if bunch.target[row] == int(name)] for name in CLASSES}
    parts, faults = divide(ids, sizes_of(config, PER_CLASS), config.seed, "digits")
    records = [
        Record(sample_id, int(bunch.target[row]), f"digits row {row}", _as_pgm(greys[row]))
        for sample_id in parts[split]
        for row in [rows[sample_id]]
    ]
    return records, faults


def _as_pgm(grey: np.ndarray) -> bytes:
    """A grey image, uint8 [height, width], in the plainest of image files."""
    height, width = grey.shape
    return b"P5 %d %d 255\n" % (width, height) + grey.tobytes()
