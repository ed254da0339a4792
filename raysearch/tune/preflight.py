"""What is refused before a search writes or trains anything."""

import itertools
from collections.abc import Sequence

from raysearch.config import DataConfig
from raysearch.data import Dataset, available_splits, open_dataset
from raysearch.errors import DataError, UserError
from raysearch.models import check_backbone
from raysearch.space import Space


def check_data(config: DataConfig, image_sizes: Sequence[int]) -> tuple[Dataset, dict[str, int | None]]:
    """The search's data, decoded into the cache at every size; images a split, the test split's too.

    Raises `DataError` with all faults of train and held_out. Faults of test are printed only, and its count is None:
    no decision of a search reads it.
    """
    dataset, *_ = [open_dataset(config, size) for size in image_sizes]
    counts: dict[str, int | None] = {name: len(split.labels) for name, split in dataset.splits.items()}
    if "test" in available_splits(config):
        try:
            counts |= open_dataset(config, image_sizes[0], (*dataset.splits, "test")).counts
        except DataError as error:
            counts["test"] = None
            print(f"note: the test split has faults, the search goes on without it: {error.faults[0]}", flush=True)
    return dataset, counts


def check_trials(space: Space, dataset: Dataset, where: str) -> None:
    """Refuse batches larger than the train split, and backbones that do not build or cannot take the image size.

    ``where`` is the space file's name, for the messages; all faults are raised at once as a `UserError`.
    """
    images = len(dataset.splits["train"].labels)
    faults = [
        f"trial.batch_size: got {size}, but the train split has {images} images"
        for size in space.values("batch_size")
        if size > images
    ]
    has_aux_head = any(weight > 0 for weight in space.values("method.aux_weight"))
    rates = space.values("drop_path_rate")
    options = {"drop_path_rate": rates[0]} if len(rates) == 1 else {}  # else it may belong to some backbones only
    for backbone, size in itertools.product(space.values("backbone"), space.values("image_size")):
        try:
            check_backbone(backbone, len(dataset.classes), size, has_aux_head=has_aux_head, **options)
        except UserError as error:
            faults += error.faults
    if faults:
        raise UserError(f"{where}: {fault}" for fault in faults)
