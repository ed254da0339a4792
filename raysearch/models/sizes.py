"""Which image sizes go together for a backbone."""

import timm

from raysearch.config import TrialConfig
from raysearch.errors import UserError


def check_sizes(trial: TrialConfig) -> None:
    """Refuse a training that shows several image sizes to a backbone that is built for one (timm's
    `fixed_input_size`: Swin, ViT), as one `UserError` with every place; one size only in inference is refused too, and
    so are further sides there.

    Other backbones take any size; whether they take this one is `check_backbone`'s to say.
    """
    if not timm.is_model(trial.backbone) or not timm.get_pretrained_cfg_value(trial.backbone, "fixed_input_size"):
        return
    size = trial.inference_size
    one_only = f"but {trial.backbone!r} takes images of one size only, and sees {size} px at inference"
    faults = [
        f"{place}: got {got}, {one_only}; give every stage and trial.inference.image_size the same size, or another "
        "backbone"
        for place, got in _trained_sizes(trial).items()
        if got != size
    ]
    if also_at := trial.inference.also_at:
        faults.append(f"trial.inference.also_at: got {also_at}, {one_only}; leave it out, or give another backbone")
    if faults:
        raise UserError(faults)


def _trained_sizes(trial: TrialConfig) -> dict[str, int]:
    """By dotted path."""
    if not trial.stages:
        return {"trial.image_size": trial.image_size}
    return {f"trial.stages.{index}.image_size": stage.image_size for index, stage in enumerate(trial.schedule)}
