"""Find image files in a folder."""

import os
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path

from raysearch.io import display_path

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".avif")
"""File endings of images; files with other endings are ignored."""


def is_image(name: str) -> bool:
    return name.lower().endswith(SUFFIXES)


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether it is a folder or a link to a folder. False for a broken link."""
    return Path(entry.path).is_dir() if entry.is_symlink() else entry.is_dir()


def list_visible(folder: Path | str, faults: list[str]) -> list[os.DirEntry[str]]:
    """Entries of a folder that are not hidden, sorted by name. Appends what cannot be listed or named to ``faults``."""
    try:
        with os.scandir(folder) as entries:
            found = [entry for entry in entries if not entry.name.startswith((".", "__MACOSX"))]
    except OSError as error:
        faults.append(f"{display_path(folder)}: cannot be listed: {error.strerror}")
        return []
    good = []
    for entry in found:
        if _is_utf8(entry.name):
            good.append(entry)
        else:
            faults.append(f"{display_path(folder)}: the name {os.fsencode(entry.name)!r} is not UTF-8; rename it")
    return sorted(good, key=lambda entry: entry.name)


def walk_images(folder: Path | str, faults: list[str]) -> Iterator[os.DirEntry[str]]:
    """Every image file below ``folder``, sorted by name. Follows links, except links to a folder above themselves."""
    for entry in list_visible(folder, faults):
        if not is_folder(entry):
            if is_image(entry.name):
                yield entry
        elif entry.is_symlink() and Path(folder).resolve().is_relative_to(Path(entry.path).resolve()):
            faults.append(f"{display_path(folder)}/{entry.name}: a link to a folder above itself; remove it")
        else:
            yield from walk_images(entry.path, faults)


def suggest_sibling(path: Path, others: tuple[str, ...] = ()) -> str:
    """A hint with the nearest name beside a missing ``path``, ``"; did you mean 'x'?"``, or an empty text."""
    parent = path.absolute().parent
    beside = [entry.name for entry in parent.iterdir()] if parent.is_dir() else []
    close = get_close_matches(path.name, [*beside, *others], n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
