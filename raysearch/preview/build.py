"""From a space file to the picture."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from raysearch.config import TrainingConfig
from raysearch.preview.rows import first_trial, rows_of
from raysearch.preview.sheet import draw_sheet, pick
from raysearch.space import load_space
from raysearch.train.stage import open_training_data, train_split


def preview_sheet(space_file: Path, overrides: Sequence[str], count: int) -> Image.Image:
    """The sheet of up to ``count`` train images for the first stage of a space's first trial.

    ``overrides``: `--set` texts. Raises `SpaceError` and `DataError`.
    """
    space = load_space(space_file, overrides)
    trial = first_trial(space)
    stage = trial.schedule[0]
    dataset = open_training_data(TrainingConfig(data=space.data, trial=trial))
    train = train_split(dataset, stage)
    chosen = pick(train.labels, count)
    images = train.images[chosen]
    if isinstance(images, np.ndarray):
        images = torch.from_numpy(images).permute(0, 3, 1, 2)
    rows = rows_of(stage, images, torch.from_numpy(train.labels[chosen]), dataset.classes)
    return draw_sheet(rows, f"{space.study}: {dataset.source}, {stage.image_size} px")
