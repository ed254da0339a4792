"""Which image sizes go together for a backbone."""

import timm

from raysearch.config import TrialConfig
from raysearch.errors import UserError


def check_sizes(trial: TrialConfig) -> None:
    """Refuse a training that shows several image sizes to a backbone that is built for one (timm's
    `fixed_input_size`: Swin, ViT), as one `UserError` with every place; one size only in inference is refused too.

    Other backbones take any size; whether they take this one is `check_backbone`'s to say.
    """
    if not timm.is_model(trial.backbone) or not timm.get_pretrained_cfg_value(trial.backbone, "fixed_input_size"):
        return
    size = trial.inference_size
    if faults := [f"{place}: got {got}" for place, got in _trained_sizes(trial).items() if got != size]:
        raise UserError(
            f"{fault}, but {trial.backbone!r} takes images of one size only, and sees {size} px at inference; give "
            "every stage and trial.inference.image_size the same size, or another backbone"
            for fault in faults
        )


def _trained_sizes(trial: TrialConfig) -> dict[str, int]:
    """By dotted path."""
    if not trial.stages:
        return {"trial.image_size": trial.image_size}
    return {f"trial.stages.{index}.image_size": stage.image_size for index, stage in enumerate(trial.schedule)}
