"""Splits a source without its own splits: stratified, seeded, and independent of the order of the files."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from raysearch.config import DataConfig


@dataclass(frozen=True)
class SplitSizes:
    """Images per class in train and held_out; the rest is test. None: half for train, a quarter for held_out.

    Without a test split, held_out has all images that are not in train.
    """

    train: int | None
    held_out: int | None
    has_test: bool = True

    def for_class(self, n: int) -> tuple[int, int]:
        """The two sizes for a class of ``n`` images."""
        train = self.train or max(1, n // 2)
        if not self.has_test:
            return train, max(1, n - train)
        return train, self.held_out or max(1, n // 4)


def split_sizes(config: DataConfig, default: int | None = None) -> SplitSizes:
    """The sizes in the config; ``default`` for those that are not set."""
    return SplitSizes(config.train_per_class or default, config.held_out_per_class or default, config.has_test)


def divide(
    ids: Mapping[str, Iterable[str]], sizes: SplitSizes, seed: int, where: str
) -> tuple[dict[str, list[str]], list[str]]:
    """Divide the sample ids of each class. Returns the sorted ids of each split, and a fault per class too small."""
    parts: dict[str, list[str]] = {"train": [], "held_out": [], "test": []}
    faults = []
    for name, members in ids.items():
        order = in_draw_order(members, seed)
        n_train, n_held_out = sizes.for_class(len(order))
        if n_train + n_held_out > len(order):
            faults.append(_too_small(name, order, n_train, n_held_out, where))
        parts["train"] += order[:n_train]
        parts["held_out"] += order[n_train : n_train + n_held_out]
        parts["test"] += order[n_train + n_held_out :]
    return {split: sorted(part) for split, part in parts.items()}, faults


def in_draw_order(ids: Iterable[str], seed: int) -> list[str]:
    """The sample ids of a class in a pseudo-random order, from which splits take them.

    The sort key of a sample is a hash of the seed and its id. So adding or removing a file moves few others, and the
    order does not depend on the random generator of a library.
    """
    return sorted(ids, key=lambda sample_id: (hashlib.sha256(f"{seed}/{sample_id}".encode()).digest(), sample_id))


def _too_small(name: str, members: Sequence[str], n_train: int, n_held_out: int, where: str) -> str:
    return (
        f"{where}: class {name!r}: needs {n_train} train and {n_held_out} held_out images, got {len(members)}; add "
        "images, or lower data.train_per_class or data.held_out_per_class"
    )


def find_split_settings(config: DataConfig, where: str) -> list[str]:
    """A fault for each split setting of the config, for a source with its own splits."""
    return [
        f"data.{name}: got {value}, but {where} has its own splits; remove this setting"
        for name, value in (
            ("train_per_class", config.train_per_class),
            ("held_out_per_class", config.held_out_per_class),
        )
        if value is not None
    ]
