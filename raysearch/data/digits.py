"""The 1,797 scans of handwritten digits that scikit-learn contains."""

from collections.abc import Sequence
from functools import partial
from importlib.metadata import version

import numpy as np

from raysearch.config import DataConfig
from raysearch.data.records import Record, Source, SplitSource
from raysearch.data.splitting import divide, split_sizes

CLASSES = tuple("0123456789")
PER_CLASS = 20
"""Default number of images per class in train, and in held_out"""


def list_digits(config: DataConfig, splits: Sequence[str]) -> Source:
    """List the splits of the embedded data. Reads nothing until a split is loaded."""
    identity = [
        version("scikit-learn"),
        config.train_per_class,
        config.held_out_per_class,
        config.seed,
        config.has_test,
    ]
    return Source(
        classes=CLASSES,
        splits={split: SplitSource(identity, partial(_load, config, split)) for split in splits},
    )


def _load(config: DataConfig, split: str) -> tuple[list[Record], list[str]]:
    from sklearn.datasets import load_digits  # imported here: it takes a second, which a cached split does not need

    bunch = load_digits()
    greys = np.round(bunch.images * (255 / 16)).astype(np.uint8)
    rows = {f"{row:04d}": row for row in range(len(greys))}
    ids = {name: [i for i, row in rows.items() if bunch.target[row] == int(name)] for name in CLASSES}
    parts, faults = divide(ids, split_sizes(config, PER_CLASS), config.seed, "digits")
    records = [
        Record(sample_id, int(bunch.target[row]), f"digits row {row}", _as_pgm(greys[row]))
        for sample_id in parts[split]
        for row in [rows[sample_id]]
    ]
    return records, faults


def _as_pgm(grey: np.ndarray) -> bytes:
    """A grey image, uint8 [height, width], as a binary PGM file, the simplest image format."""
    height, width = grey.shape
    return b"P5 %d %d 255\n" % (width, height) + grey.tobytes()
