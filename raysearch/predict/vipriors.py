"""The submission file of the VIPriors image classification challenge: a class index for each test image."""

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
NAMED = 3
"""Ids that do not fit that a message names."""


class SubmissionWriter:
    """Rows ordered by the image's number; the index is the class's place among all classes' wnids, sorted."""

    def __init__(self, path: Path, classes: Sequence[str]) -> None:
        self._path = path
        self._index = {name: index for index, name in enumerate(sorted(classes))}
        self._rows: list[tuple[str, int]] = []
        path.touch()  # so that a disk that refuses does so at once

    def write(self, table: pa.Table) -> None:
        """``table`` with `id` and `prediction`, as of `raysearch.predict.table`."""
        pairs = zip(table["id"].to_pylist(), table["prediction"].to_pylist(), strict=True)
        self._rows += [(name, self._index[prediction]) for name, prediction in pairs]

    def close(self) -> None:
        self._rows.sort(key=_number)
        with self._path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(HEADER)
            writer.writerows(self._rows)


def check_submission(ids: Sequence[str], classes: Sequence[str]) -> None:
    """Raises `UserError` where image ids or class names are not the challenge's, before anything is predicted."""
    faults = []
    if wrong := [name for name in classes if not WNID.fullmatch(name)]:
        faults.append(
            "--format vipriors: the set's classes must be wnids such as n01440764, whose sorted order is the index, "
            f"got {_some(wrong)}"
        )
    elif len(classes) != CLASSES:
        faults.append(f"--format vipriors: the set must know the challenge's {CLASSES} classes, got {len(classes)}")
    if wrong := [name for name in ids if not IMAGE_ID.fullmatch(name)]:
        faults.append(
            f"--format vipriors: every image id must be img_<k>.JPEG, got {_some(wrong)}; give the folder that the "
            "images themselves lie in"
        )
    if faults:
        raise UserError(faults)


def _number(row: tuple[str, int]) -> int:
    found = IMAGE_ID.fullmatch(row[0])
    assert found, row
    return int(found[1])


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(map(repr, names[:NAMED])) + more
