"""Checks and estimates before a training: whether the backbone takes the images, and what time and memory it needs."""

from dataclasses import dataclass

from raysearch.config import TrialConfig
from raysearch.errors import UserError
from raysearch.losses import needs_teacher
from raysearch.models import check_backbone, check_sizes
from raysearch.train.inference_mode import default_inference_mode, other_inference_modes

ROLES = 2
"""Student and teacher: both are evaluated and stored."""
ID_BYTES = 40
"""Approximate bytes of a sample id in stored predictions and features."""
WORKER_BYTES = 700e6
"""Memory of a training process before it has a network: Python and its libraries."""

ACTIVATION_OVERHEAD = 1.3
"""Peak memory of a step relative to the activations that it saves: gradients and workspace add to them."""


@dataclass(frozen=True)
class Seconds:
    """Measured times of one process, in seconds. Waiting for other processes is not included."""

    step: float
    """Fixed time per batch, independent of its size"""
    pixel: float
    """Additional time per pixel of a view and per pass (`count_passes`)"""
    evaluation: float
    """Time per pixel of a held-out image, for one role"""
    batch_size: int
    """Largest batch that was measured. If a full batch would take too long it is 2, or 0 if only inference was
    measured; `pixel` is then an upper bound"""


@dataclass(frozen=True)
class Cost:
    """Time and memory of trainings with one backbone, for any image size, batch size and number of views."""

    parameters: int
    num_features: int
    weights_bytes: int
    """Weights of one role"""
    optimizer_bytes: int
    """State of the optimizer"""
    checkpoint_bytes: int
    """Checkpoint to resume from: student, teacher, optimizer"""
    saved_bytes: float
    """Activations saved for the backward pass, in float32, per pixel of a view"""
    seconds: Seconds | None
    """None if nothing was measured"""

    def batch_s(self, stage: TrialConfig) -> float:
        """Seconds for one batch of ``stage``: preparing it and training on it."""
        assert self.seconds is not None, "nothing was trained"
        return self.seconds.step + stage.batch_size * count_pixels(stage) * count_passes(stage) * self.seconds.pixel

    def evaluation_s(self, pixels: int, images: int) -> float:
        """Seconds to evaluate both roles on ``images`` images of ``pixels`` pixels each."""
        assert self.seconds is not None, "nothing was trained"
        return ROLES * images * pixels * self.seconds.evaluation

    def training_s(self, trial: TrialConfig, train: int, held_out: int, workers: int = 1) -> float:
        """Seconds of a whole training, without starting its processes. ``train``, ``held_out``: numbers of images."""
        evaluation_s = self.evaluation_s(default_inference_mode(trial).pixels, held_out)
        seconds = sum((self.evaluation_s(mode.pixels, held_out) for mode in other_inference_modes(trial)), start=0.0)
        for stage in trial.schedule:
            batches = train // (stage.batch_size * stage.accumulation * workers) * stage.accumulation
            seconds += (stage.epochs or 0) * batches * self.batch_s(stage) + count_evaluations(stage) * evaluation_s
        return seconds

    def training_bytes(self, trial: TrialConfig) -> float:
        """Memory of one process for networks, gradients, optimizer and activations, in the largest stage."""
        stage = find_largest_stage(trial)
        return self._fixed_bytes + stage.batch_size * self._image_bytes(stage)

    def batch_within(self, trial: TrialConfig, available_bytes: float) -> int:
        """The largest batch size with which the largest stage fits into ``available_bytes``."""
        return max(0, int((available_bytes - self._fixed_bytes) / self._image_bytes(find_largest_stage(trial))))

    @property
    def _fixed_bytes(self) -> float:
        return (ROLES + 1) * self.weights_bytes + self.optimizer_bytes

    def _image_bytes(self, stage: TrialConfig) -> float:
        return ACTIVATION_OVERHEAD * count_pixels(stage) * self.saved_bytes

    def live_bytes(self) -> float:
        """Peak disk space of checkpoints and weights while a training runs. A file exists twice while it is
        replaced."""
        return 2 * self.checkpoint_bytes + (ROLES + 1) * self.weights_bytes

    def predictions_bytes(self, trial: TrialConfig, held_out: int, classes: int) -> float:
        """Disk space of held-out predictions (every view) and features. ``held_out``: number of images."""
        views = ROLES * (1 + trial.has_aux_head) * (1 + len(other_inference_modes(trial)))
        return held_out * (views * (4 * classes + ID_BYTES) + ROLES * (4 * self.num_features + ID_BYTES))


def count_pixels(stage: TrialConfig) -> int:
    """Pixels of all views of a source image."""
    return stage.method.views * stage.image_size**2


def count_passes(stage: TrialConfig) -> int:
    """Passes through the network per step: student forward 1, backward 2, teacher 1 if there is one."""
    return 4 if needs_teacher(stage.method) else 3


def count_evaluations(stage: TrialConfig) -> int:
    """Number of evaluations of the held-out split in ``stage``."""
    stubborn, epochs = stage.augment.stubborn, stage.epochs or 0
    intervals = [stage.eval_every, *([stubborn.update_every] if stubborn.probability else [])]
    return sum(
        epoch == epochs or any(epoch % interval == 0 for interval in intervals) for epoch in range(1, epochs + 1)
    )


def find_largest_stage(trial: TrialConfig) -> TrialConfig:
    """The stage with the most pixels in a batch."""
    return max(trial.schedule, key=lambda stage: stage.batch_size * count_pixels(stage))


def list_image_sizes(trial: TrialConfig) -> tuple[int, ...]:
    """Every image size that the network sees, in training or inference, in pixels."""
    train_sizes = [stage.image_size for stage in trial.schedule]
    return tuple(dict.fromkeys([*train_sizes, trial.inference_size, *trial.inference.also_at]))


def check_fit(trial: TrialConfig, num_classes: int) -> None:
    """Build the backbone, and run a batch of every image size through it.

    Raises one `UserError` with all faults: the backbone cannot be built, does not accept a size, or lacks the stage of
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
                block_dropout=trial.block_dropout,
                drop_path_rate=trial.drop_path_rate,
                aux_stage=trial.aux_stage,
            )
        except UserError as error:
            faults += error.faults
    if faults:
        raise UserError(dict.fromkeys(faults))
