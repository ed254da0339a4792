"""Builds a classifier by its backbone's name, or says why that cannot be."""

from difflib import get_close_matches
from typing import Any

import timm
import torch
from torch import nn

from raysearch.errors import UserError
from raysearch.models.classifier import AuxiliaryHead, Classifier


def build_classifier(
    backbone: str,
    num_classes: int,
    image_size: int,
    *,
    has_aux_head: bool,
    dropout: float = 0.0,
    drop_path_rate: float | None = None,
) -> Classifier:
    """An untrained classifier, weights drawn from torch's global generator.

    Raises `UserError` for an unknown name, an option the backbone lacks, or one without stages.
    """
    args = backbone_args(backbone, num_classes, image_size, dropout=dropout, drop_path_rate=drop_path_rate)
    try:
        model = timm.create_model(backbone, **args)
    except TypeError as error:
        raise UserError(f"trial.backbone: {backbone!r} cannot be built ({error})") from error
    return with_head(model, num_classes, has_aux_head=has_aux_head)


def with_head(backbone: nn.Module, num_classes: int, *, has_aux_head: bool) -> Classifier:
    """``backbone`` as a `Classifier`, with a new auxiliary head if asked for."""
    info = getattr(backbone, "feature_info", None)
    if not has_aux_head:
        return Classifier(backbone, None, 0)
    if not info or len(info) < 2 or not hasattr(backbone, "forward_intermediates"):
        name = type(backbone).__name__
        raise UserError(f"backbone {name}: has no stages for an auxiliary head; set method.aux_weight to 0")
    stage = len(info) - 2
    return Classifier(backbone, AuxiliaryHead(info[stage]["num_chs"], num_classes), stage)


def backbone_args(
    backbone: str, num_classes: int, image_size: int, *, dropout: float = 0.0, drop_path_rate: float | None = None
) -> dict[str, Any]:
    """Arguments of `timm.create_model` for ``backbone``; an unknown name is a `UserError`."""
    if not timm.is_model(backbone):
        near = get_close_matches(backbone, timm.list_models(), n=1)
        hint = f"did you mean {near[0]!r}?" if near else "timm.list_models() has the known names"
        raise UserError(f"trial.backbone: got {backbone!r}; {hint}")
    args: dict[str, Any] = {"num_classes": num_classes, "drop_rate": dropout}
    if drop_path_rate is not None:
        args["drop_path_rate"] = drop_path_rate
    if timm.get_pretrained_cfg_value(backbone, "fixed_input_size"):
        args["img_size"] = image_size
    return args


def check_backbone(backbone: str, num_classes: int, image_size: int, *, has_aux_head: bool, **options: Any) -> None:
    """Refuse a backbone that does not build or cannot take the image size, as a `UserError` with the reason."""
    try:
        classifier = build_classifier(backbone, num_classes, image_size, has_aux_head=has_aux_head, **options).eval()
        with torch.no_grad():
            classifier(torch.zeros(2, 3, image_size, image_size))
    except UserError:
        raise
    except (RuntimeError, AssertionError, ValueError, TypeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"trial.backbone: {backbone!r} cannot be used at {image_size} px ({reason})") from error
