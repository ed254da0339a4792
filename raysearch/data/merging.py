"""Merge train and held_out for a final model, holding out a few images per class."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from raysearch.config import DataConfig
from raysearch.data.records import Record, Source, SplitSource
from raysearch.data.splitting import in_draw_order
from raysearch.io import display_path

MERGED = ("train", "held_out")
"""The splits that are merged."""


def merge_splits(source: Source, config: DataConfig) -> Source:
    """``source`` with `data.merged_held_out_per_class` images per class as held_out and the rest as train.

    A source without one of the two splits is returned unchanged; its faults already name the missing split.
    """
    if not set(MERGED) <= set(source.splits):
        return source
    drawn = [config.merged_held_out_per_class, config.seed]
    identity = ["merged", *drawn, *(source.splits[split].identity for split in MERGED)]
    parts = {split: source.splits[split] for split in MERGED}
    merged = {split: SplitSource(identity, partial(_load, source, config, split), parts) for split in MERGED}
    return replace(source, splits={**source.splits, **merged})


def _load(source: Source, config: DataConfig, split: str) -> tuple[list[Record], list[str]]:
    loaded = {name: source.splits[name].load() for name in MERGED}
    faults = [fault for _, wrong in loaded.values() for fault in wrong]
    records = join_splits({name: records for name, (records, _) in loaded.items()})
    held_out: set[str] = set()
    for label, name in enumerate(source.classes):
        order = in_draw_order([record.sample_id for record in records if record.label == label], config.seed)
        n_held_out = config.merged_held_out_per_class or 0
        # From the end, where `divide` puts held_out: in a source that is split here, all train images stay in train.
        held_out.update(order[len(order) - n_held_out :])
        if n_held_out >= len(order):
            faults.append(_too_many(config, name, len(order)))
    chosen = [record for record in records if (record.sample_id in held_out) == (split == "held_out")]
    return sorted(chosen, key=lambda record: record.sample_id), faults


def join_splits(records: Mapping[str, Sequence[Record]]) -> list[Record]:
    """All records. If an id is in both splits (rows of two files), every id gets the prefix ``<split>/``."""
    ids = [{record.sample_id for record in found} for found in records.values()]
    if not set.intersection(*ids):
        return [record for found in records.values() for record in found]
    return [
        replace(record, sample_id=f"{split}/{record.sample_id}") for split, found in records.items() for record in found
    ]


def _too_many(config: DataConfig, name: str, count: int) -> str:
    return (
        f"{display_path(config.source)}: class {name!r} has {count} images in train and held_out together, and at "
        f"least one must stay in train, got data.merged_held_out_per_class {config.merged_held_out_per_class}; lower "
        "it, or add images"
    )
