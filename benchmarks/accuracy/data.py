"""Writes the folder of Parquet files that all methods read."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from raysearch.config import DataConfig
from raysearch.data.digits import CLASSES, list_digits
from raysearch.data.records import SPLITS, STORED_NAMES, Record

TRAIN_SHARE = (3, 5)
"""Part of the images of a class that is train in the protocol with 50 labels: 30 of 50. The rest is val."""


class DataMissing(Exception):
    """The set is not on this machine. The message says where it was expected."""


def prepare(name: str, labels: int, data_root: Path, folder: Path) -> Path:
    """The folder of a set with train.parquet, val.parquet and test.parquet; writes to ``folder`` if necessary.

    With 50 labels per class, train and val are two parts of the set's train. Raises `DataMissing`.
    """
    if name == "digits":
        source = folder / "digits"
        write_digits(source)
    else:
        source = data_root / name
        if not (source / "train.parquet").is_file():
            raise DataMissing(f"{source}: no train.parquet; give the folder of the data sets with --data-root")
    if labels == 100:
        return source
    out = folder / f"{name}-{labels}"
    divide_train(source, out)
    return out


def write_digits(folder: Path) -> None:
    """Write raysearch's splits of the embedded digits in the Hugging Face image layout."""
    folder.mkdir(parents=True, exist_ok=True)
    source = list_digits(DataConfig(source="digits"), SPLITS)
    for split in SPLITS:
        records, faults = source.splits[split].load()
        assert not faults, faults
        pq.write_table(_as_table(records), folder / f"{STORED_NAMES[split]}.parquet")


def _as_table(records: Sequence[Record]) -> pa.Table:
    features = {"image": {"_type": "Image"}, "label": {"names": list(CLASSES), "_type": "ClassLabel"}}
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    schema = pa.schema(
        [("image", image), ("label", pa.int64())],
        metadata={"huggingface": json.dumps({"info": {"features": features}})},
    )
    images = [{"bytes": record.read(), "path": record.sample_id} for record in records]
    return pa.table({"image": images, "label": [record.label for record in records]}, schema=schema)


def divide_train(source: Path, out: Path) -> None:
    """Write a folder with train and val from the source's train: of each class, the first 30 of 50, and the rest."""
    out.mkdir(parents=True, exist_ok=True)
    table = pq.read_table(source / "train.parquet")
    labels = table["label"].to_numpy()
    numerator, denominator = TRAIN_SHARE
    is_train = rank_in_class(labels) < np.bincount(labels)[labels] * numerator // denominator
    pq.write_table(table.filter(pa.array(is_train)), out / "train.parquet")
    pq.write_table(table.filter(pa.array(~is_train)), out / "val.parquet")
    shutil.copyfile(source / "test.parquet", out / "test.parquet")


def rank_in_class(labels: np.ndarray) -> np.ndarray:
    """For each row, the number of earlier rows with the same label."""
    ranks = np.empty(len(labels), int)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        ranks[rows] = np.arange(len(rows))
    return ranks


def count_labelled(folder: Path) -> int:
    """The number of images in train and val."""
    return sum(pq.read_metadata(folder / f"{split}.parquet").num_rows for split in ("train", "val"))


def read_test_labels(folder: Path) -> np.ndarray:
    """int64 [images]."""
    return pq.read_table(folder / "test.parquet", columns=["label"])["label"].to_numpy()
