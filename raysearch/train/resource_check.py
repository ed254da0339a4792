"""Whether a training fits, asked before anything is trained: its backbone its images, and its needs a machine."""

from dataclasses import dataclass

from raysearch.config import TrialConfig
from raysearch.errors import UserError
from raysearch.losses import needs_teacher
from raysearch.models import check_backbone, check_sizes
from raysearch.train.inference_mode import default_inference_mode, other_inference_modes

ROLES = 2
"""Student and teacher: both are looked at, and kept."""
ID_BYTES = 40
"""Of a sample's id in stored predictions and features, about."""
WORKER_BYTES = 700e6
"""Of a process that trains, before it holds a network: Python and its libraries."""

ACTIVATION_OVERHEAD = 1.3
"""What a step takes of memory for activations, over what it keeps of them: gradients and work space come and go."""


@dataclass(frozen=True)
class Seconds:
    """Of one process, without those of others that it may wait for."""

    step: float
    """Of a batch, however many images it has"""
    pixel: float
    """Besides, of a pixel of a view in one of `count_passes` through the network"""
    evaluation: float
    """Of a pixel of a held-out image, seen by one role"""
    batch_size: int
    """The largest that was tried; 2 or, from a look alone, 0 where larger ones would have taken too long. `pixel` is
    then an upper bound"""


@dataclass(frozen=True)
class Cost:
    """What the trainings of one backbone take, whatever their image sizes, batch sizes and views."""

    parameters: int
    num_features: int
    weights_bytes: int
    """Of one role's weights"""
    optimizer_bytes: int
    checkpoint_bytes: int
    """Of what a training goes on from: student, teacher, optimizer"""
    saved_bytes: float
    """Kept for the backward pass, in float32, of a pixel of a view"""
    seconds: Seconds | None
    """None where nothing could be trained"""

    def batch_s(self, stage: TrialConfig) -> float:
        """Seconds of a batch of ``stage``, from its making to the step."""
        assert self.seconds is not None, "nothing was trained"
        return self.seconds.step + stage.batch_size * count_pixels(stage) * count_passes(stage) * self.seconds.pixel

    def evaluation_s(self, pixels: int, images: int) -> float:
        """Seconds of a look of both roles at so many held-out images, of each of which they see so many pixels."""
        assert self.seconds is not None, "nothing was trained"
        return ROLES * images * pixels * self.seconds.evaluation

    def training_s(self, trial: TrialConfig, train: int, held_out: int, workers: int = 1) -> float:
        """Seconds of a whole training on so many train and held-out images, without the start of its processes."""
        look = self.evaluation_s(default_inference_mode(trial).pixels, held_out)
        seconds = sum((self.evaluation_s(other.pixels, held_out) for other in other_inference_modes(trial)), start=0.0)
        for stage in trial.schedule:
            batches = train // (stage.batch_size * stage.accumulation * workers) * stage.accumulation
            seconds += (stage.epochs or 0) * batches * self.batch_s(stage) + count_evaluations(stage) * look
        return seconds

    def training_bytes(self, trial: TrialConfig) -> float:
        """Memory of one process for networks, gradients, optimizer and activations, at the largest stage."""
        stage = largest_stage(trial)
        return self._fixed_bytes + stage.batch_size * self._image_bytes(stage)

    def batch_within(self, trial: TrialConfig, room: float) -> int:
        """Images of a batch with which the largest stage takes at most ``room`` bytes."""
        return max(0, int((room - self._fixed_bytes) / self._image_bytes(largest_stage(trial))))

    @property
    def _fixed_bytes(self) -> float:
        return (ROLES + 1) * self.weights_bytes + self.optimizer_bytes

    def _image_bytes(self, stage: TrialConfig) -> float:
        return ACTIVATION_OVERHEAD * count_pixels(stage) * self.saved_bytes

    def live_bytes(self) -> float:
        """Most that a training has on the disk: each file twice while one replaces the other."""
        return 2 * self.checkpoint_bytes + (ROLES + 1) * self.weights_bytes

    def predictions_bytes(self, trial: TrialConfig, held_out: int, classes: int) -> float:
        """Of what a training keeps beside weights: held-out predictions of every view, and features."""
        views = ROLES * (1 + trial.has_aux_head) * (1 + len(other_inference_modes(trial)))
        return held_out * (views * (4 * classes + ID_BYTES) + ROLES * (4 * self.num_features + ID_BYTES))


def count_pixels(stage: TrialConfig) -> int:
    """Of all views of a source image."""
    return stage.method.views * stage.image_size**2


def count_passes(stage: TrialConfig) -> int:
    """Of the student forward, of its gradients (worth two), and of the teacher where there is one."""
    return 4 if needs_teacher(stage.method) else 3


def count_evaluations(stage: TrialConfig) -> int:
    """How often the held-out split is looked at."""
    stubborn, epochs = stage.augment.stubborn, stage.epochs or 0
    every = [stage.eval_every, *([stubborn.update_every] if stubborn.probability else [])]
    return sum(epoch == epochs or any(epoch % step == 0 for step in every) for epoch in range(1, epochs + 1))


def largest_stage(trial: TrialConfig) -> TrialConfig:
    """The stage of most pixels in a batch."""
    return max(trial.schedule, key=lambda stage: stage.batch_size * count_pixels(stage))


def list_image_sizes(trial: TrialConfig) -> tuple[int, ...]:
    """Every side of a square image that the network sees, in pixels."""
    trained = [stage.image_size for stage in trial.schedule]
    return tuple(dict.fromkeys([*trained, trial.inference_size, *trial.inference.also_at]))


def check_fit(trial: TrialConfig, num_classes: int) -> None:
    """Build the backbone and show it a batch of every size that it will see.

    Raises `UserError`, with all reasons, for a backbone that does not build, cannot take a size, or lacks the stage of
    the auxiliary head.
    """
    check_sizes(trial)
    faults: list[str] = []
    for size in list_image_sizes(trial):
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
