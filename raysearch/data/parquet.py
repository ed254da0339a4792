"""Folders with train.parquet, val.parquet and optionally test.parquet in the Hugging Face image layout.

Column `image` is struct<bytes: binary, path: string>, column `label` is an integer. The schema's metadata has the
class names under `huggingface` (ClassLabel).
"""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from raysearch.config import DataConfig
from raysearch.data.records import STORED_NAMES, Record, Source, SplitSource
from raysearch.data.splitting import find_split_settings
from raysearch.io import display_path


def parquet_file(root: Path, split: str) -> Path:
    return root / f"{STORED_NAMES[split]}.parquet"


def list_parquet(root: Path, config: DataConfig, splits: Sequence[str]) -> Source:
    """List the splits. Reads schemas and labels but no images, and only the files of ``splits``."""
    faults = find_split_settings(config, display_path(root))
    classes: dict[str, tuple[str, ...]] = {}
    found = {}
    for split in splits:
        path = parquet_file(root, split)
        if not path.is_file():
            beside = ", ".join(sorted(other.name for other in root.glob("*.parquet")))
            faults.append(f"{display_path(path)}: no such file, so no split {split}; found {beside}")
            continue
        names, wrong = _read_classes(path)
        faults += wrong
        if not wrong:
            classes[split] = names
            faults += _label_faults(path, names, complete=len(splits) > 1 or split != "test")
            stat = path.stat()
            identity = [path.name, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]
            found[split] = SplitSource(identity, partial(_load, path, split, len(names)))
    faults += _differing_classes(root, classes)
    return Source(next(iter(classes.values()), ()), found, faults)


def _read_classes(path: Path) -> tuple[tuple[str, ...], list[str]]:
    """The class names in the schema, and the faults of the schema."""
    where = display_path(path)
    try:
        schema = pq.read_schema(path)
    except (OSError, pa.ArrowException) as error:
        return (), [f"{where}: not readable as Parquet: {_first_line(error)}"]
    faults = [
        f"{where}: column {column!r} must be {expected}, got {_type_of(schema, column)}"
        for column, expected, is_right in (
            ("image", "struct<bytes: binary, path: string>", _is_image_type(_type_of(schema, "image"))),
            ("label", "an integer", pa.types.is_integer(_type_of(schema, "label"))),
        )
        if not is_right
    ]
    try:
        names = json.loads(schema.metadata[b"huggingface"])["info"]["features"]["label"]["names"]
    except (TypeError, KeyError, ValueError):
        names = []
    if not names:
        faults.append(f"{where}: no class names: the metadata `huggingface` must contain a ClassLabel `label`")
    return tuple(map(str, names)), faults


def _type_of(schema: pa.Schema, column: str) -> pa.DataType:
    return schema.field(column).type if column in schema.names else pa.null()


def _is_image_type(kind: pa.DataType) -> bool:
    if not pa.types.is_struct(kind) or kind.get_field_index("bytes") < 0:
        return False
    stored = kind.field("bytes").type
    return pa.types.is_binary(stored) or pa.types.is_large_binary(stored)


def _label_faults(path: Path, classes: Sequence[str], complete: bool) -> list[str]:
    """Labels out of range and, if the split must be ``complete``, classes without an image."""
    where = display_path(path)
    try:
        labels = pq.read_table(path, columns=["label"], partitioning=None)["label"].to_pylist()
    except (OSError, pa.ArrowException) as error:
        return [f"{where}: not readable as Parquet: {_first_line(error)}"]
    if not labels:
        return [f"{where}: no rows"]
    faults = [
        f"{where}: row {row}: label must be in 0..{len(classes) - 1}, got {label}"
        for row, label in enumerate(labels)
        if label is None or not 0 <= label < len(classes)
    ]
    missing = set(range(len(classes))) - set(labels) if complete else set()
    return faults + [
        f"{where}: class {classes[label]!r} is missing: no row has label {label}" for label in sorted(missing)
    ]


def _differing_classes(root: Path, classes: Mapping[str, tuple[str, ...]]) -> list[str]:
    first = next(iter(classes), "")
    return [
        f"{display_path(parquet_file(root, split))}: the classes are {list(names)}, but those of "
        f"{parquet_file(root, first).name} are {list(classes[first])}; all files need the same classes in one order"
        for split, names in classes.items()
        if names != classes[first]
    ]


def _load(path: Path, split: str, num_classes: int) -> tuple[list[Record], list[str]]:
    where = display_path(path)
    try:
        table = pq.read_table(path, columns=["image", "label"], partitioning=None)
    except (OSError, pa.ArrowException) as error:
        return [], [f"{where}: not readable as Parquet: {_first_line(error)}"]
    images = table["image"].to_pylist()
    records, faults = [], []
    rows = zip(_sample_ids(images, split), images, table["label"].to_pylist(), strict=True)
    for row, (sample_id, image, label) in enumerate(rows):
        name = f"{where}: row {row} ({sample_id})"
        if not image or image["bytes"] is None:
            faults.append(f"{name}: no bytes; the file must contain the image itself")
        elif label is not None and 0 <= label < num_classes:
            records.append(Record(sample_id, label, name, image["bytes"]))
    return records, faults


def _sample_ids(images: Sequence[dict | None], split: str) -> list[str]:
    """``image.path`` of every row if all are present and unique, otherwise ``<split>/<row>``."""
    paths = [image.get("path") if image else None for image in images]
    if all(paths) and len(set(paths)) == len(paths):
        return [str(path) for path in paths]
    return [f"{split}/{row}" for row in range(len(paths))]


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
