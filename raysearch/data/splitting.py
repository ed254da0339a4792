"""Splits for a source that brings none: stratified, seeded, and independent of the order of the files."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from raysearch.config import DataConfig


@dataclass(frozen=True)
class SplitSizes:
    """Images a class in train and held_out; the rest is test. None: half, and a quarter."""

    train: int | None
    held_out: int | None

    def of(self, n: int) -> tuple[int, int]:
        """The two sizes for a class of ``n`` images."""
        return self.train or max(1, n // 2), self.held_out or max(1, n // 4)


def sizes_of(config: DataConfig, default: int | None = None) -> SplitSizes:
    """The config's sizes; ``default`` stands in for what it leaves open."""
    return SplitSizes(config.train_per_class or default, config.held_out_per_class or default)


def divide(
    ids: Mapping[str, Iterable[str]], sizes: SplitSizes, seed: int, where: str
) -> tuple[dict[str, list[str]], list[str]]:
    """Sample ids of each split from the sample ids of each class, sorted; and a fault a class too small."""
    parts: dict[str, list[str]] = {"train": [], "held_out": [], "test": []}
    faults = []
    for name, members in ids.items():
        order = in_draw_order(members, seed)
        n_train, n_held_out = sizes.of(len(order))
        if n_train + n_held_out > len(order):
            faults.append(_too_small(name, order, n_train, n_held_out, where))
        parts["train"] += order[:n_train]
        parts["held_out"] += order[n_train : n_train + n_held_out]
        parts["test"] += order[n_train + n_held_out :]
    return {split: sorted(part) for split, part in parts.items()}, faults


def in_draw_order(ids: Iterable[str], seed: int) -> list[str]:
    """A class's sample ids in the order in which splits draw from them.

    A sample's place is decided by a hash of the seed and its id alone, so that a file more or less moves few others,
    and no library's random generator has to stay the same.
    """
    return sorted(ids, key=lambda sample_id: (hashlib.sha256(f"{seed}/{sample_id}".encode()).digest(), sample_id))


def _too_small(name: str, members: Sequence[str], n_train: int, n_held_out: int, where: str) -> str:
    return (
        f"{where}: class {name!r}: {n_train} to learn from and {n_held_out} held out must be there, got "
        f"{len(members)}; add images, or lower data.train_per_class or data.held_out_per_class"
    )


def settings_out_of_place(config: DataConfig, where: str) -> list[str]:
    """A fault for each setting of a split that a source with splits of its own does not leave to us."""
    return [
        f"data.{name}: got {value}, but {where} brings its own splits; remove this setting"
        for name, value in (
            ("train_per_class", config.train_per_class),
            ("held_out_per_class", config.held_out_per_class),
        )
        if value is not None
    ]
