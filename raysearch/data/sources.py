"""Which kind of source a text means. A new kind is one function and one line here."""

from collections.abc import Callable, Sequence
from pathlib import Path

from raysearch.config import DataConfig
from raysearch.data.digits import list_digits
from raysearch.data.files import is_folder, nearest_sibling, visible
from raysearch.data.folder import leaves_images_for_test, list_class_folders, list_split_folders
from raysearch.data.parquet import list_parquet, parquet_file
from raysearch.data.records import SPLITS, STORED_NAMES, Source
from raysearch.errors import DataError
from raysearch.io import display_path, require_local

FOLDERS: dict[str, Callable[[Path, DataConfig, Sequence[str]], Source]] = {
    "parquet": list_parquet,
    "split_folders": list_split_folders,
    "class_folders": list_class_folders,
}
"""Kinds of folders; `kind_of` tells which one a folder is."""


def list_source(config: DataConfig, splits: Sequence[str]) -> Source:
    """The splits asked for, listed but not decoded. Raises `DataError` when there is no such source."""
    if config.source == "digits":
        return list_digits(config, splits)
    root = source_folder(config)
    return FOLDERS[kind_of(root)](root, config, splits)


def available_splits(config: DataConfig) -> tuple[str, ...]:
    """The splits that a source has, by its file and folder names. Raises `DataError` when it is missing."""
    if config.source == "digits":
        return SPLITS
    root = source_folder(config)
    kind = kind_of(root)
    if kind == "parquet":
        return tuple(split for split in SPLITS if parquet_file(root, split).is_file())
    if kind == "split_folders":
        return tuple(split for split in SPLITS if (root / STORED_NAMES[split]).is_dir())
    return SPLITS if leaves_images_for_test(root, config) else SPLITS[:2]


def source_folder(config: DataConfig) -> Path:
    """The folder that the config names. Raises `DataError` with the nearest name beside it."""
    require_local("data source", config.source)
    root = Path(config.source)
    if root.is_dir():
        return root
    where = display_path(root)
    if root.exists():
        raise DataError(f"{where}: a source must be a folder or `digits`, got a file; give the folder it is in")
    raise DataError(f"{where}: no such folder, and not `digits`{nearest_sibling(root, ('digits',))}")


def kind_of(root: Path) -> str:
    """A key of `FOLDERS`. A class may be called `train`, so a split folder must hold folders itself."""
    if any(parquet_file(root, split).is_file() for split in SPLITS):
        return "parquet"
    folders = {entry.name: entry for entry in visible(root, []) if is_folder(entry)}
    stored = set(STORED_NAMES.values())
    inside = [visible(entry.path, []) for name, entry in folders.items() if name in stored]
    if (folders and set(folders) <= stored) or any(is_folder(entry) for found in inside for entry in found):
        return "split_folders"
    return "class_folders"
