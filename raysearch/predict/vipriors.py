"""Submission file of the VIPriors image classification challenge: a class index for each test image."""

import csv
import re
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from raysearch.errors import UserError

HEADER = ("Image IDs", "Predictions")
CLASSES = 1000
IMAGE_ID = re.compile(r"img_(\d+)\.JPEG")
WNID = re.compile(r"n\d{8}")
NAMES_SHOWN = 3
"""Number of invalid names that a message lists."""


class SubmissionWriter:
    """Writes rows in the order of the image numbers. A class index is the position in the sorted list of wnids."""

    def __init__(self, path: Path, classes: Sequence[str]) -> None:
        self._path = path
        self._index = {name: index for index, name in enumerate(sorted(classes))}
        self._rows: list[tuple[str, int]] = []
        path.touch()  # raises early if the disk cannot be written

    def write(self, table: pa.Table) -> None:
        """Add the rows of ``table``, which needs the columns `id` and `prediction`."""
        pairs = zip(table["id"].to_pylist(), table["prediction"].to_pylist(), strict=True)
        self._rows += [(name, self._index[prediction]) for name, prediction in pairs]

    def close(self) -> None:
        self._rows.sort(key=_image_number)
        with self._path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(HEADER)
            writer.writerows(self._rows)


def check_submission(ids: Sequence[str], classes: Sequence[str]) -> None:
    """Raises `UserError` if image ids or class names do not follow the rules of the challenge."""
    faults = []
    if wrong := [name for name in classes if not WNID.fullmatch(name)]:
        faults.append(
            "--format vipriors: class names must be wnids such as n01440764, whose sorted order defines the "
            f"index, got {_list_first(wrong)}"
        )
    elif len(classes) != CLASSES:
        faults.append(
            f"--format vipriors: the set must have the {CLASSES} classes of the challenge, got {len(classes)}"
        )
    if wrong := [name for name in ids if not IMAGE_ID.fullmatch(name)]:
        faults.append(
            f"--format vipriors: every image id must be img_<k>.JPEG, got {_list_first(wrong)}; give the folder that "
            "contains the images directly"
        )
    if faults:
        raise UserError(faults)


def _image_number(row: tuple[str, int]) -> int:
    match = IMAGE_ID.fullmatch(row[0])
    assert match, row
    return int(match[1])


def _list_first(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return ", ".join(map(repr, names[:NAMES_SHOWN])) + more
