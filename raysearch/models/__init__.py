"""Backbones under timm's names and ours, the auxiliary head, and what turns pixels into probabilities."""

from raysearch.models import dual_selective_kernel, pyramidnet, small, wide_resnet
from raysearch.models.build import build_classifier, check_backbone
from raysearch.models.classifier import Classifier, Outputs
from raysearch.models.inference import Inference, infer, infer_tencrop, normalise, tencrop_side
from raysearch.models.projector import Projector
from raysearch.models.sizes import check_sizes

OURS = (*wide_resnet.NAMES, *small.NAMES, *pyramidnet.NAMES, *dual_selective_kernel.NAMES)
"""Names that this package adds to timm's registry; `timm.create_model` knows them once it is imported."""

__all__ = [
    "OURS",
    "Classifier",
    "Inference",
    "Outputs",
    "Projector",
    "build_classifier",
    "check_backbone",
    "check_sizes",
    "infer",
    "infer_tencrop",
    "normalise",
    "tencrop_side",
]
