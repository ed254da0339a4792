"""Builds a classifier by its backbone's name, or says why that cannot be."""

from difflib import get_close_matches
from typing import Any

import timm
import torch
from torch import Tensor, nn

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
    aux_stage: int | None = None,
) -> Classifier:
    """An untrained classifier, weights drawn from torch's global generator.

    ``aux_stage``: index into the backbone's `feature_info`, from the end if negative; None: the last but one.
    Raises `UserError` for an unknown name, an option or stage that the backbone lacks, or one without stages.
    """
    args = backbone_args(backbone, num_classes, image_size, dropout=dropout, drop_path_rate=drop_path_rate)
    try:
        model = timm.create_model(backbone, **args)
    except TypeError as error:
        raise UserError(f"trial.backbone: {backbone!r} cannot be built ({error})") from error
    return with_head(model, num_classes, has_aux_head=has_aux_head, aux_stage=aux_stage)


def with_head(backbone: nn.Module, num_classes: int, *, has_aux_head: bool, aux_stage: int | None = None) -> Classifier:
    """``backbone`` as a `Classifier`, with a new auxiliary head on ``aux_stage`` if asked for."""
    name = (getattr(backbone, "pretrained_cfg", None) or {}).get("architecture") or type(backbone).__name__
    if not has_aux_head:
        return Classifier(_with_one_classifier(name, backbone), None, 0)
    info: Any = getattr(backbone, "feature_info", None) if hasattr(backbone, "forward_intermediates") else None
    channels = [stage["num_chs"] for stage in info or ()]
    stage = _stage_index(name, channels, aux_stage)
    head = AuxiliaryHead(channels[stage], num_classes)
    return Classifier(_with_one_classifier(name, backbone), head, stage)


def _stage_index(name: str, channels: list[int], asked: int | None) -> int:
    """Of the stage that the auxiliary head sits on, from 0."""
    if len(channels) < 2:
        raise UserError(f"backbone {name}: has no stages for an auxiliary head; set method.aux_weight to 0")
    if asked is None:
        return len(channels) - 2
    if not -len(channels) <= asked < len(channels):
        known = ", ".join(f"{stage} ({count} channels)" for stage, count in enumerate(channels))
        raise UserError(
            f"trial.method.aux_stage: got {asked}, but the stages of {name!r} are {known}; "
            f"or from -{len(channels)} to -1, from the end"
        )
    return asked % len(channels)


def _with_one_classifier(name: str, backbone: Any) -> nn.Module:
    if isinstance(classifier := backbone.get_classifier(), (tuple, nn.ModuleList, nn.Conv2d)):
        kind = type(classifier).__name__
        raise UserError(
            f"trial.backbone: {name!r} cannot be used: a linear layer must make its logits of its features, but timm "
            f"gives a {kind} as its classifier"
        )
    return backbone


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


def check_backbone(
    backbone: str,
    num_classes: int,
    image_size: int,
    *,
    has_aux_head: bool,
    aux_stage: int | None = None,
    **options: Any,
) -> None:
    """Refuse a backbone that does not build or cannot train at the image size, as a `UserError` with the reason.

    ``options`` are `build_classifier`'s. A batch of two is shown to it in training mode, the smallest that a training
    may have; torch's random state is left as it was. A map of a single pixel is not refused: two images are enough
    for batch norm's statistics.
    """
    with torch.random.fork_rng(devices=[]):
        try:
            classifier = build_classifier(
                backbone, num_classes, image_size, has_aux_head=has_aux_head, aux_stage=aux_stage, **options
            )
            reason = _fault(classifier.train(), image_size)
        except UserError:
            raise
        except (RuntimeError, AssertionError, ValueError, TypeError, LookupError, ArithmeticError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    if reason:
        raise UserError(f"trial.backbone: {backbone!r} cannot be used at {image_size} px ({reason})")


def _fault(classifier: Classifier, image_size: int) -> str | None:
    images = torch.randn(2, 3, image_size, image_size)
    outputs, plain_logits = _seeded(classifier, images), _seeded(classifier.backbone, images)
    found = (outputs.logits,) if outputs.aux_logits is None else (outputs.logits, outputs.aux_logits)
    if not all(logits.isfinite().all() for logits in found):
        return "its logits are not finite: a feature map may have no pixel left"
    if not torch.allclose(outputs.logits, plain_logits, rtol=1e-3, atol=1e-4):
        return (
            "its logits are not made by the layer that timm names as its classifier, of the features before it; where "
            "only dropout differs, trial.dropout: 0 helps"
        )
    return None


@torch.no_grad()
def _seeded(network: nn.Module, images: Tensor) -> Any:
    torch.manual_seed(0)  # so that two passes drop the same units
    return network(images)
