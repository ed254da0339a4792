"""Labelled images from any source, decoded once into one memory-mapped cache, in three splits kept apart."""

from raysearch.data.dataset import Dataset, Split, default_stored_side, open_dataset
from raysearch.data.images import find_images, prepare_image, read_images
from raysearch.data.records import SPLITS, split_name
from raysearch.data.sources import available_splits
from raysearch.data.whole import WholeImages

__all__ = [
    "SPLITS",
    "Dataset",
    "Split",
    "WholeImages",
    "available_splits",
    "default_stored_side",
    "find_images",
    "open_dataset",
    "prepare_image",
    "read_images",
    "split_name",
]
