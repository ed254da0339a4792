"""Checks the image sizes of a training for backbones with a fixed input size."""

import timm

from raysearch.config import TrialConfig
from raysearch.errors import UserError


def check_sizes(trial: TrialConfig) -> None:
    """Raise one `UserError` with every wrong size if a backbone with a fixed input size would get several sizes.

    Such backbones have timm's `fixed_input_size` (Swin, ViT). All stages and the inference need the same size, and
    `trial.inference.also_at` must be empty. Other backbones accept several sizes; `check_backbone` tests each of them.
    """
    if not timm.is_model(trial.backbone) or not timm.get_pretrained_cfg_value(trial.backbone, "fixed_input_size"):
        return
    size = trial.inference_size
    one_only = f"but {trial.backbone!r} accepts only one image size, and inference uses {size} px"
    faults = [
        f"{place}: got {got}, {one_only}; use the same size in every stage and trial.inference.image_size, or "
        "another backbone"
        for place, got in _trained_sizes(trial).items()
        if got != size
    ]
    if also_at := trial.inference.also_at:
        faults.append(f"trial.inference.also_at: got {also_at}, {one_only}; remove it, or use another backbone")
    if faults:
        raise UserError(faults)


def _trained_sizes(trial: TrialConfig) -> dict[str, int]:
    """Image sizes of the stages, by dotted path."""
    if not trial.stages:
        return {"trial.image_size": trial.image_size}
    return {f"trial.stages.{index}.image_size": stage.image_size for index, stage in enumerate(trial.schedule)}
