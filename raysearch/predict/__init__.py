"""A checkpoint set, loaded and checked; images to probabilities."""

from raysearch.predict.checkpoint_set import CheckpointSet, load_set
from raysearch.predict.inputs import LabelledSplit, LooseImages, open_images, open_split
from raysearch.predict.manifest import Manifest, MemberEntry, read_manifest
from raysearch.predict.progress import predict_all

__all__ = [
    "CheckpointSet",
    "LabelledSplit",
    "LooseImages",
    "Manifest",
    "MemberEntry",
    "load_set",
    "open_images",
    "open_split",
    "predict_all",
    "read_manifest",
]
