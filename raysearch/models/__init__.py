"""Backbones under timm's names and ours, the auxiliary head, and what turns pixels into probabilities."""

from raysearch.models import small, wide_resnet
from raysearch.models.build import build_classifier, check_backbone
from raysearch.models.classifier import Classifier, Outputs
from raysearch.models.inference import Inference, infer, normalise

OURS = (*wide_resnet.NAMES, *small.NAMES)
"""Names that this package adds to timm's registry; `timm.create_model` knows them once it is imported."""

__all__ = [
    "OURS",
    "Classifier",
    "Inference",
    "Outputs",
    "build_classifier",
    "check_backbone",
    "infer",
    "normalise",
]
