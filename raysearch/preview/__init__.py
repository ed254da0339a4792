"""What a training makes of its images, operation by operation, as one picture."""

from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image

from raysearch.data import open_dataset
from raysearch.preview.rows import Row, first_stage, rows_of
from raysearch.preview.sheet import draw_sheet, pick
from raysearch.space import load_space

__all__ = ["Row", "draw_sheet", "first_stage", "pick", "preview_sheet", "rows_of"]


def preview_sheet(space_file: Path, overrides: Sequence[str], count: int) -> Image.Image:
    """The sheet of up to ``count`` train images for the first stage of a space's first trial.

    ``overrides``: `--set` texts. Raises `SpaceError` and `DataError`.
    """
    space = load_space(space_file, overrides)
    stage = first_stage(space)
    is_whole = stage.augment.crop == "resized"
    dataset = open_dataset(space.data, stage.image_size, ["train"], whole_train=is_whole)
    train = dataset.splits["train"]
    chosen = pick(train.labels, count)
    images = train.images[chosen] if is_whole else torch.from_numpy(train.images[chosen]).permute(0, 3, 1, 2)
    rows = rows_of(stage, images, torch.from_numpy(train.labels[chosen]), dataset.classes)
    return draw_sheet(rows, f"{space.study}: {dataset.source}, {stage.image_size} px")
