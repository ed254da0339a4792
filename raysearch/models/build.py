"""Builds a classifier from the name of its backbone, and checks that it can train."""

from difflib import get_close_matches
from typing import Any

import timm
import torch
from torch import Tensor, nn

from raysearch.errors import UserError
from raysearch.models import wide_resnet
from raysearch.models.classifier import AuxiliaryHead, Classifier

HAS_BLOCK_DROPOUT = wide_resnet.NAMES
"""Backbones with dropout inside their residual blocks."""


def build_classifier(
    backbone: str,
    num_classes: int,
    image_size: int,
    *,
    has_aux_head: bool,
    dropout: float = 0.0,
    block_dropout: float = 0.0,
    drop_path_rate: float | None = None,
    aux_stage: int | None = None,
) -> Classifier:
    """An untrained classifier with weights from torch's global generator.

    ``aux_stage``: index into the backbone's `feature_info`, from the end if negative; None: the second-to-last stage.
    Raises `UserError` for an unknown name, an option or stage that the backbone does not have, or a backbone without
    stages.
    """
    args = backbone_args(
        backbone,
        num_classes,
        image_size,
        dropout=dropout,
        block_dropout=block_dropout,
        drop_path_rate=drop_path_rate,
    )
    try:
        model = timm.create_model(backbone, **args)
    except TypeError as error:
        raise UserError(f"trial.backbone: {backbone!r} cannot be built ({error})") from error
    return with_head(model, num_classes, has_aux_head=has_aux_head, aux_stage=aux_stage)


def with_head(backbone: nn.Module, num_classes: int, *, has_aux_head: bool, aux_stage: int | None = None) -> Classifier:
    """``backbone`` as a `Classifier`, with a new auxiliary head on ``aux_stage`` if ``has_aux_head``."""
    name = (getattr(backbone, "pretrained_cfg", None) or {}).get("architecture") or type(backbone).__name__
    if not has_aux_head:
        return Classifier(_check_classifier(name, backbone), None, 0)
    info: Any = getattr(backbone, "feature_info", None) if hasattr(backbone, "forward_intermediates") else None
    channels = [stage["num_chs"] for stage in info or ()]
    stage = _stage_index(name, channels, aux_stage)
    head = AuxiliaryHead(channels[stage], num_classes)
    return Classifier(_check_classifier(name, backbone), head, stage)


def _stage_index(name: str, channels: list[int], aux_stage: int | None) -> int:
    """Index, from 0, of the stage for the auxiliary head."""
    if len(channels) < 2:
        raise UserError(f"backbone {name}: has no stages for an auxiliary head; set method.aux_weight to 0")
    if aux_stage is None:
        return len(channels) - 2
    if not -len(channels) <= aux_stage < len(channels):
        known = ", ".join(f"{stage} ({count} channels)" for stage, count in enumerate(channels))
        raise UserError(
            f"trial.method.aux_stage: got {aux_stage}, but the stages of {name!r} are {known}; "
            f"-{len(channels)} to -1 count from the end"
        )
    return aux_stage % len(channels)


def _check_classifier(name: str, backbone: Any) -> nn.Module:
    if isinstance(classifier := backbone.get_classifier(), (tuple, nn.ModuleList, nn.Conv2d)):
        kind = type(classifier).__name__
        raise UserError(
            f"trial.backbone: {name!r} cannot be used: its classifier must be one linear layer on its features, but "
            f"timm returns a {kind}"
        )
    return backbone


def backbone_args(
    backbone: str,
    num_classes: int,
    image_size: int,
    *,
    dropout: float = 0.0,
    block_dropout: float = 0.0,
    drop_path_rate: float | None = None,
) -> dict[str, Any]:
    """Arguments of `timm.create_model` for ``backbone``.

    Raises `UserError` for an unknown name, or if ``block_dropout`` is not 0 and the backbone does not have it.
    """
    if not timm.is_model(backbone):
        near = get_close_matches(backbone, timm.list_models(), n=1)
        hint = f"did you mean {near[0]!r}?" if near else "timm.list_models() lists the known names"
        raise UserError(f"trial.backbone: got {backbone!r}; {hint}")
    args: dict[str, Any] = {"num_classes": num_classes, "drop_rate": dropout}
    if block_dropout:
        if backbone not in HAS_BLOCK_DROPOUT:
            raise UserError(
                f"trial.block_dropout: got {block_dropout:g}, but {backbone!r} has no dropout in its blocks; set it to "
                f"0, or use one of {', '.join(HAS_BLOCK_DROPOUT)}"
            )
        args["block_dropout"] = block_dropout
    if drop_path_rate is not None:
        args["drop_path_rate"] = drop_path_rate
    if timm.get_pretrained_cfg_value(backbone, "fixed_input_size"):
        args["img_size"] = image_size
    return args


def check_backbone(
    backbone: str,
    num_classes: int,
    image_size: int,
    *,
    has_aux_head: bool,
    aux_stage: int | None = None,
    **options: Any,
) -> None:
    """Raise a `UserError` with the reason if a backbone does not build or cannot train at the image size.

    ``options``: those of `build_classifier`. Runs a batch of two in training mode, the smallest batch that a config
    allows, and keeps torch's random state. A feature map of a single pixel is allowed: two images are enough for the
    statistics of batch norm.
    """
    with torch.random.fork_rng(devices=[]):
        try:
            classifier = build_classifier(
                backbone, num_classes, image_size, has_aux_head=has_aux_head, aux_stage=aux_stage, **options
            )
            reason = _find_fault(classifier.train(), image_size)
        except UserError:
            raise
        except (RuntimeError, AssertionError, ValueError, TypeError, LookupError, ArithmeticError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    if reason:
        raise UserError(f"trial.backbone: {backbone!r} cannot be used at {image_size} px ({reason})")


def _find_fault(classifier: Classifier, image_size: int) -> str | None:
    images = torch.randn(2, 3, image_size, image_size)
    outputs, plain_logits = _run_seeded(classifier, images), _run_seeded(classifier.backbone, images)
    found = (outputs.logits,) if outputs.aux_logits is None else (outputs.logits, outputs.aux_logits)
    if not all(logits.isfinite().all() for logits in found):
        return "its logits are not finite: a feature map may have no pixels"
    if not torch.allclose(outputs.logits, plain_logits, rtol=1e-3, atol=1e-4):
        return (
            "its logits are not the output of timm's classifier layer for its features; if only dropout makes the "
            "difference, set trial.dropout to 0"
        )
    return None


@torch.no_grad()
def _run_seeded(network: nn.Module, images: Tensor) -> Any:
    torch.manual_seed(0)  # so that both passes drop the same units
    return network(images)
