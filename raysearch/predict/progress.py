"""A set over all batches of some images, with a progress bar where someone watches."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from raysearch.predict.checkpoint_set import CheckpointSet
from raysearch.predict.inputs import Images


@dataclass(frozen=True)
class Predicted:
    """What a set makes of a batch of images."""

    ids: list[str]
    members: np.ndarray
    """float64 [members, samples, classes]"""
    vote: np.ndarray
    """float64 [samples, classes]: their weighted mean, not calibrated"""

    def __len__(self) -> int:
        return len(self.ids)


def predictions(checkpoint_set: CheckpointSet, images: Images, faults: list[str]) -> Iterator[Predicted]:
    """Batch by batch, so that no more than one is in memory; ``faults`` gets a line for each image that cannot be read.

    The bar goes to stderr, and only to a terminal.
    """
    columns = (TextColumn("predicting"), BarColumn(), MofNCompleteColumn(), TextColumn("images, left"))
    console = Console(stderr=True)
    with Progress(
        *columns, TimeRemainingColumn(), console=console, disable=not sys.stderr.isatty(), transient=True
    ) as progress:
        task = progress.add_task("", total=len(images.ids))
        done = 0
        for ids, batch in images.batches(checkpoint_set.image_sizes, faults):
            members = checkpoint_set.predict_members(batch)
            yield Predicted(ids, members, checkpoint_set.vote(members))
            done += len(ids)
            progress.update(task, completed=done + len(faults))
