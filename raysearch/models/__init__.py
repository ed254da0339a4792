"""Backbones from timm and this package, the auxiliary head, the projector, and inference."""

from raysearch.models import dual_selective_kernel, pyramidnet, small, wide_resnet
from raysearch.models.build import build_classifier, check_backbone
from raysearch.models.classifier import Classifier, Outputs
from raysearch.models.inference import (
    Inference,
    infer,
    infer_crops,
    infer_mirrored,
    infer_tencrop,
    normalise,
    tencrop_side,
)
from raysearch.models.projector import Projector
from raysearch.models.sizes import check_sizes

OWN_BACKBONES = (*wide_resnet.NAMES, *small.NAMES, *pyramidnet.NAMES, *dual_selective_kernel.NAMES)
"""Names that importing this package adds to timm's registry, for `timm.create_model`."""

__all__ = [
    "OWN_BACKBONES",
    "Classifier",
    "Inference",
    "Outputs",
    "Projector",
    "build_classifier",
    "check_backbone",
    "check_sizes",
    "infer",
    "infer_crops",
    "infer_mirrored",
    "infer_tencrop",
    "normalise",
    "tencrop_side",
]
