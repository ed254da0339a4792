"""A set over all batches of some images, with a progress bar where someone watches."""

import sys

import numpy as np
from rich.console import Console
from rich.progress import Progress

from raysearch.predict.checkpoint_set import CheckpointSet
from raysearch.predict.inputs import LabelledSplit, LooseImages


def predict_all(checkpoint_set: CheckpointSet, images: LooseImages | LabelledSplit) -> tuple[list[str], np.ndarray]:
    """Sample ids, and float64 [samples, classes]. The bar goes to stderr, and only to a terminal."""
    ids: list[str] = []
    probs = []
    with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True) as progress:
        task = progress.add_task("predicting", total=len(images))
        for batch_ids, batch in images.batches(checkpoint_set.image_sizes):
            ids += batch_ids
            probs.append(checkpoint_set.predict(batch))
            progress.advance(task, len(batch_ids))
    return ids, np.concatenate(probs)
