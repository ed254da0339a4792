"""What a source returns: the splits with their records, and how to read the encoded images."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from raysearch.errors import DataError, did_you_mean

SPLITS = ("train", "held_out", "test")
"""train is for training; held_out is for every decision; test is only for evaluation."""

STORED_NAMES = {"train": "train", "held_out": "val", "test": "test"}
"""Split names in the file and folder names of a source."""

_KNOWN_NAMES = {"train": "train", "held_out": "held_out", "val": "held_out", "test": "test"}


@dataclass(frozen=True)
class Record:
    """One labelled image, not yet decoded."""

    sample_id: str
    label: int
    """Index in the source's classes"""
    where: str
    """Its name in messages"""
    stored: bytes | Path
    """The encoded image, or its file"""

    def read(self) -> bytes:
        """The encoded image. Raises `OSError`."""
        return self.stored.read_bytes() if isinstance(self.stored, Path) else self.stored


@dataclass(frozen=True)
class SplitSource:
    """One split of a source, listed but not read."""

    identity: Any
    """JSON values that change when the content of the split changes; part of the cache key"""
    load: Callable[[], tuple[Sequence[Record], list[str]]]
    """Returns the records and the faults found while reading"""
    parts: "Mapping[str, SplitSource]" = field(default_factory=dict)
    """The splits that its images come from, by name, if it is divided from others; their decoded images are used"""


@dataclass(frozen=True)
class Source:
    """A listed source: classes, requested splits, and the faults found so far."""

    classes: tuple[str, ...] = ()
    splits: Mapping[str, SplitSource] = field(default_factory=dict)
    faults: Sequence[str] = ()


def split_name(text: str) -> str:
    """The split named ``text``; ``val`` is another name of ``held_out``. Raises `DataError` for an unknown name."""
    if text not in _KNOWN_NAMES:
        raise DataError(f"split: got {text!r}{did_you_mean(text, _KNOWN_NAMES)}")
    return _KNOWN_NAMES[text]
