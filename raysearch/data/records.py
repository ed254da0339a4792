"""What a source hands over: who is in which split, and how to get at the stored bytes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from raysearch.errors import DataError, did_you_mean

SPLITS = ("train", "held_out", "test")
"""Learned from; decides; only ever scored on."""

STORED_NAMES = {"train": "train", "held_out": "val", "test": "test"}
"""What a split is called in a source's file and folder names."""

_KNOWN_NAMES = {"train": "train", "held_out": "held_out", "val": "held_out", "test": "test"}


@dataclass(frozen=True)
class Record:
    """One labelled image, not yet decoded."""

    sample_id: str
    label: int
    """Index in the source's classes"""
    where: str
    """What messages call it"""
    stored: bytes | Path
    """The encoded image, or the file that holds it"""

    def read(self) -> bytes:
        """The encoded image. Raises `OSError`."""
        return self.stored.read_bytes() if isinstance(self.stored, Path) else self.stored


@dataclass(frozen=True)
class SplitSource:
    """One split of a source, listed but not read."""

    identity: Any
    """Plain values that change when the split's content does; the cache's key"""
    load: Callable[[], tuple[Sequence[Record], list[str]]]
    """The split's records, and the faults found in reading them"""


@dataclass(frozen=True)
class Source:
    """A source as listed: its classes, the splits asked for, and what is wrong so far."""

    classes: tuple[str, ...] = ()
    splits: Mapping[str, SplitSource] = field(default_factory=dict)
    faults: Sequence[str] = ()


def split_name(text: str) -> str:
    """The split that ``text`` means; ``val`` is ``held_out``. Raises `DataError` listing the known names."""
    if text not in _KNOWN_NAMES:
        raise DataError(f"split {text!r}: unknown{did_you_mean(text, _KNOWN_NAMES)}")
    return _KNOWN_NAMES[text]
