"""Whether a training's backbone fits its images, asked before anything is trained."""

from raysearch.config import TrialConfig
from raysearch.errors import UserError
from raysearch.models import check_backbone, check_sizes


def sizes_of(trial: TrialConfig) -> tuple[int, ...]:
    """Every side of a square image that the network sees, in pixels."""
    return tuple(dict.fromkeys([*(stage.image_size for stage in trial.schedule), trial.inference_size]))


def check_fit(trial: TrialConfig, num_classes: int) -> None:
    """Build the backbone and show it a batch of every size that it will see.

    Raises `UserError`, with all reasons, for a backbone that does not build, cannot take a size, or lacks the stage of
    the auxiliary head.
    """
    check_sizes(trial)
    faults: list[str] = []
    for size in sizes_of(trial):
        try:
            check_backbone(
                trial.backbone,
                num_classes,
                size,
                has_aux_head=trial.has_aux_head,
                dropout=trial.dropout,
                drop_path_rate=trial.drop_path_rate,
                aux_stage=trial.aux_stage,
            )
        except UserError as error:
            faults += error.faults
    if faults:
        raise UserError(dict.fromkeys(faults))
