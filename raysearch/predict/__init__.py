"""A checkpoint set, loaded and checked; images to probabilities."""

from raysearch.predict.checkpoint_set import CheckpointSet, Tta, load_set
from raysearch.predict.files import ImageFiles, ParquetFiles
from raysearch.predict.inputs import First, Images, LabelledSplit, open_images, open_split
from raysearch.predict.integrity import read_manifest
from raysearch.predict.manifest import Manifest, MemberEntry, ModelEntry
from raysearch.predict.progress import Predicted, predictions

__all__ = [
    "CheckpointSet",
    "First",
    "ImageFiles",
    "Images",
    "LabelledSplit",
    "Manifest",
    "MemberEntry",
    "ModelEntry",
    "ParquetFiles",
    "Predicted",
    "Tta",
    "load_set",
    "open_images",
    "open_split",
    "predictions",
    "read_manifest",
]
