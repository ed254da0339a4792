"""Detects the kind of a source. A new kind of folder needs one function and one line in `FOLDERS`."""

from collections.abc import Callable, Sequence
from pathlib import Path

from raysearch.config import DataConfig
from raysearch.data.digits import list_digits
from raysearch.data.files import is_folder, list_visible, suggest_sibling
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
"""The function that lists each kind of folder; `detect_folder_kind` returns the key."""


def list_source(config: DataConfig, splits: Sequence[str]) -> Source:
    """List the requested splits without decoding images. Raises `DataError` if the source does not exist."""
    if config.source == "digits":
        return list_digits(config, splits)
    root = source_folder(config)
    return FOLDERS[detect_folder_kind(root)](root, config, splits)


def available_splits(config: DataConfig) -> tuple[str, ...]:
    """The splits of a source, from its file and folder names. Raises `DataError` if the source does not exist."""
    if config.source == "digits":
        return SPLITS if config.has_test else SPLITS[:2]
    root = source_folder(config)
    kind = detect_folder_kind(root)
    if kind == "parquet":
        return tuple(split for split in SPLITS if parquet_file(root, split).is_file())
    if kind == "split_folders":
        return tuple(split for split in SPLITS if (root / STORED_NAMES[split]).is_dir())
    return SPLITS if leaves_images_for_test(root, config) else SPLITS[:2]


def source_folder(config: DataConfig) -> Path:
    """The folder of the config's source. Raises `DataError` with the nearest name if it does not exist."""
    require_local("data source", config.source)
    root = Path(config.source)
    if root.is_dir():
        return root
    where = display_path(root)
    if root.exists():
        raise DataError(
            f"{where}: expected a folder of labelled images or `digits`, got a file; give its folder instead"
        )
    hint = suggest_sibling(root, ("digits",))
    raise DataError(f"{where}: no such folder; give a folder of labelled images or `digits`{hint}")


def detect_folder_kind(root: Path) -> str:
    """The key of `FOLDERS` for a folder."""
    if any(parquet_file(root, split).is_file() for split in SPLITS):
        return "parquet"
    # A class may be called `train`, so a split folder must contain folders itself.
    folders = {entry.name: entry for entry in list_visible(root, []) if is_folder(entry)}
    stored = set(STORED_NAMES.values())
    inside = [list_visible(entry.path, []) for name, entry in folders.items() if name in stored]
    if (folders and set(folders) <= stored) or any(is_folder(entry) for found in inside for entry in found):
        return "split_folders"
    return "class_folders"
