"""Describes one view of a trial as a member of a set."""

from typing import Any

from raysearch.config import TrainingConfig
from raysearch.models import tencrop_side
from raysearch.paths import view_parts
from raysearch.predict.manifest import MemberEntry, ModelEntry


def build_member_entry(
    name: str,
    trial: int,
    view: str,
    weight: float,
    models: list[ModelEntry],
    config: TrainingConfig,
    contribution: dict[str, Any] | None = None,
) -> MemberEntry:
    """The entry of a ``view``; ``config``: of the first of the ``models``."""
    parts, settings = view_parts(view), config.trial
    size = get_image_size(view, config)
    share = settings.inference.tencrop_share
    return MemberEntry(
        name=name,
        trial=trial,
        view=view,
        weight=weight,
        models=models,
        backbone=settings.backbone,
        image_size=size,
        tencrop_side=tencrop_side(size, share) if parts.crops == "tencrop" else None,
        mirror=parts.crops == "mirror",
        tencrop_share=share,
        aux_fusion=settings.aux_fusion if parts.is_fused else None,
        aux_stage=settings.aux_stage,
        contribution=contribution,
        config=config.model_dump(mode="json"),
    )


def get_image_size(view: str, config: TrainingConfig) -> int:
    """Side of the network's square input, in pixels."""
    return view_parts(view).side or config.trial.inference_size
