"""Predicts batches of images with a set, with a progress bar on a terminal."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from raysearch.predict.checkpoint_set import CheckpointSet
from raysearch.predict.inputs import Images


@dataclass(frozen=True)
class PredictedBatch:
    """Predictions of a set for one batch of images."""

    ids: list[str]
    members: np.ndarray
    """float64 [members, samples, classes]"""
    vote: np.ndarray
    """float64 [samples, classes]: the weighted mean of the members, not calibrated"""

    def __len__(self) -> int:
        return len(self.ids)


def predict_batches(checkpoint_set: CheckpointSet, images: Images, faults: list[str]) -> Iterator[PredictedBatch]:
    """Predict batch by batch; only one batch is in memory. ``faults`` gets a line for each image that cannot be read.

    The progress bar goes to stderr, and only if that is a terminal.
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
            yield PredictedBatch(ids, members, checkpoint_set.vote(members))
            done += len(ids)
            progress.update(task, completed=done + len(faults))
