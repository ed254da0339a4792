"""Builds the picture from a space file."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from raysearch.config import TrainingConfig
from raysearch.preview.rows import build_rows, first_trial
from raysearch.preview.sheet import draw_sheet, pick_samples
from raysearch.space import load_space
from raysearch.train.stage import open_train_split, open_training_data


def preview_sheet(space_file: Path, overrides: Sequence[str], count: int) -> Image.Image:
    """The picture of up to ``count`` train images, for the first stage of the first trial of a space.

    ``overrides``: values of `--set`. Raises `SpaceError` and `DataError`.
    """
    space = load_space(space_file, overrides)
    trial = first_trial(space)
    stage = trial.schedule[0]
    dataset = open_training_data(TrainingConfig(data=space.data, trial=trial))
    train = open_train_split(dataset, stage)
    chosen = pick_samples(train.labels, count)
    images = train.images[chosen]
    if isinstance(images, np.ndarray):
        images = torch.from_numpy(images).permute(0, 3, 1, 2)
    rows = build_rows(stage, images, torch.from_numpy(train.labels[chosen]), dataset.classes)
    return draw_sheet(rows, f"{space.study}: {dataset.source}, {stage.image_size} px")
