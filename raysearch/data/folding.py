"""Divide train and held_out together into stratified folds. Each fold is held out once."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from raysearch.config import DataConfig
from raysearch.data.merging import MERGED, join_splits
from raysearch.data.records import Record, Source, SplitSource
from raysearch.data.splitting import in_draw_order
from raysearch.io import display_path


def fold_splits(source: Source, config: DataConfig) -> Source:
    """``source`` with fold `data.fold` of the merged splits as held_out and the other folds as train.

    Without `data.fold`, fold 0 is held out. A source without one of the two splits is returned unchanged; its faults
    already name the missing split.
    """
    if not set(MERGED) <= set(source.splits):
        return source
    identity = ["folds", config.folds, config.fold or 0, config.seed]
    identity += [source.splits[split].identity for split in MERGED]
    parts = {split: source.splits[split] for split in MERGED}
    folded = {split: SplitSource(identity, partial(_load, source, config, split), parts) for split in MERGED}
    return replace(source, splits={**source.splits, **folded})


def _load(source: Source, config: DataConfig, split: str) -> tuple[list[Record], list[str]]:
    loaded = {name: source.splits[name].load() for name in MERGED}
    faults = [fault for _, wrong in loaded.values() for fault in wrong]
    records = join_splits({name: records for name, (records, _) in loaded.items()})
    held_out: set[str] = set()
    folds, fold = config.folds or 1, config.fold or 0
    dealt = 0
    for label, name in enumerate(source.classes):
        order = in_draw_order([record.sample_id for record in records if record.label == label], config.seed)
        if 0 < len(order) < folds:
            faults.append(_too_few(config, name, order))
        # Each class starts where the previous one ended, so that the total sizes of folds differ by at most one.
        held_out.update(order[(fold - dealt) % folds :: folds])
        dealt += len(order)
    chosen = [record for record in records if (record.sample_id in held_out) == (split == "held_out")]
    return sorted(chosen, key=lambda record: record.sample_id), faults


def _too_few(config: DataConfig, name: str, order: Sequence[str]) -> str:
    return (
        f"{display_path(config.source)}: class {name!r} has {len(order)} images in train and held_out together, fewer "
        f"than data.folds, got {config.folds}; lower data.folds, or add images"
    )
