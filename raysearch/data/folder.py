"""Folders with one folder per class: in train/, val/ and optionally test/, or in one folder that is split here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from raysearch.config import DataConfig
from raysearch.data.files import SUFFIXES, is_folder, is_image, list_visible, walk_images
from raysearch.data.records import STORED_NAMES, Record, Source, SplitSource
from raysearch.data.splitting import divide, find_split_settings, split_sizes
from raysearch.io import display_path


@dataclass(frozen=True)
class _File:
    sample_id: str
    """Path relative to the source, with slashes"""
    label: str
    """Name of the class folder"""
    size_bytes: int
    modified_ns: tuple[int, int]
    """Modification times of the content and of the inode. A program can restore the first but not the second."""


def list_split_folders(root: Path, config: DataConfig, splits: Sequence[str]) -> Source:
    """List a folder with its own splits. Reads only the folders of ``splits``."""
    faults = find_split_settings(config, display_path(root))
    listings: dict[str, dict[str, list[_File]]] = {}
    for split in splits:
        folder = root / STORED_NAMES[split]
        if folder.is_dir():
            listings[split] = _list_classes(folder, root, faults)
        else:
            beside = ", ".join(f"{entry.name}/" for entry in list_visible(root, faults) if is_folder(entry))
            faults.append(f"{display_path(folder)}: no such folder, so no split {split}; found {beside}")
    classes = tuple(sorted({name for listing in listings.values() for name in listing}))
    faults += _missing_classes(root, listings, classes)
    return Source(
        classes,
        {
            split: _split_source(root, classes, [file for files in listing.values() for file in files])
            for split, listing in listings.items()
        },
        faults,
    )


def list_class_folders(root: Path, config: DataConfig, splits: Sequence[str]) -> Source:
    """List one folder of class folders and split it, stratified by class."""
    faults: list[str] = []
    listing = _list_classes(root, root, faults)
    files = {file.sample_id: file for found in listing.values() for file in found}
    ids = {name: [file.sample_id for file in found] for name, found in listing.items() if found}
    parts, too_small = divide(ids, split_sizes(config), config.seed, display_path(root))
    classes = tuple(sorted(listing))
    return Source(
        classes,
        {split: _split_source(root, classes, [files[sample_id] for sample_id in parts[split]]) for split in splits},
        [*faults, *too_small],
    )


def leaves_images_for_test(root: Path, config: DataConfig) -> bool:
    """Whether `list_class_folders` leaves at least one image for test."""
    sizes = split_sizes(config)
    return any(len(files) > sum(sizes.for_class(len(files))) for files in _list_classes(root, root, []).values())


def _list_classes(folder: Path, root: Path, faults: list[str]) -> dict[str, list[_File]]:
    """The image files by class folder. A class without images has an empty list."""
    where = display_path(folder)
    listing = {}
    for entry in list_visible(folder, faults):
        if is_folder(entry):
            listing[entry.name] = _list_class(Path(entry.path), root, entry.name, faults)
        elif is_image(entry.name):
            faults.append(f"{where}/{entry.name}: an image outside any class folder; move it into one")
    if not listing:
        faults.append(f"{where}: no images: expected a folder for each class, with images in it")
    return listing


def _list_class(folder: Path, root: Path, name: str, faults: list[str]) -> list[_File]:
    files = []
    for entry in walk_images(folder, faults):
        sample_id = Path(entry.path).relative_to(root).as_posix()
        try:
            stat = entry.stat()
        except OSError as error:
            faults.append(f"{display_path(root)}/{sample_id}: cannot be read: {error.strerror}")
        else:
            files.append(_File(sample_id, name, stat.st_size, (stat.st_mtime_ns, stat.st_ctime_ns)))
    if not files:
        faults.append(
            f"{display_path(folder)}: class {name!r} is empty: no images in this folder ({', '.join(SUFFIXES)}); "
            "add images or remove the folder"
        )
    return files


def _missing_classes(
    root: Path, listings: Mapping[str, Mapping[str, list[_File]]], classes: Sequence[str]
) -> list[str]:
    faults = []
    for split, listing in listings.items():
        for name in sorted(set(classes) - set(listing)) if listing else ():
            others = ", ".join(
                f"{len(other[name])} in {STORED_NAMES[o]}" for o, other in listings.items() if name in other
            )
            where = display_path(root / STORED_NAMES[split])
            faults.append(f"{where}: class {name!r} is missing from split {split} (images: {others})")
    return faults


def _split_source(root: Path, classes: Sequence[str], files: Sequence[_File]) -> SplitSource:
    files = sorted(files, key=lambda file: file.sample_id)
    identity = [list(classes), [[f.sample_id, f.size_bytes, f.modified_ns] for f in files]]
    return SplitSource(identity, partial(_records, root, classes, files))


def _records(root: Path, classes: Sequence[str], files: Sequence[_File]) -> tuple[list[Record], list[str]]:
    where = display_path(root)
    return [
        Record(file.sample_id, classes.index(file.label), f"{where}/{file.sample_id}", root / file.sample_id)
        for file in files
    ], []
