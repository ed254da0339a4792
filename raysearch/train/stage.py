"""One stage of a training: its batches, optimizer and schedule. Most trainings have a single stage."""

import math
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from raysearch.augment import stubborn_classes
from raysearch.config import TrainingConfig, TrialConfig
from raysearch.data.dataset import Dataset, Split, default_stored_side, open_dataset
from raysearch.errors import PredictionsError
from raysearch.losses import has_rampup
from raysearch.predictions import read_predictions
from raysearch.train.batches import Batch, Batches
from raysearch.train.distributed import World
from raysearch.train.figures import recalls
from raysearch.train.inference_mode import other_inference_modes
from raysearch.train.optimizer import Schedule, build_optimizer
from raysearch.train.task import Student, Task


class Stage:
    """A stage. Epochs and steps are counted over all stages: ``epochs_before`` and ``steps_before`` precede this
    one."""

    optimizer: Optimizer

    def __init__(
        self, config: TrialConfig, number: int, split: Split, world: World, epochs_before: int, steps_before: int
    ) -> None:
        self.config, self.epochs_before, self.steps_before = config, epochs_before, steps_before
        self.batches = Batches(split, config, number, world)
        self.steps_per_epoch = len(self.batches) // config.accumulation
        self.schedule = Schedule(config, self.steps_per_epoch, world.size)

    @property
    def last_epoch(self) -> int:
        """The last one is incomplete if a time limit ends the schedule within it."""
        return self.epochs_before + math.ceil(self.schedule.steps / max(1, self.steps_per_epoch))

    @property
    def last_step(self) -> int:
        return self.steps_before + self.schedule.steps

    def count_steps(self, epoch: int, batches: int) -> int:
        """Steps of this stage after ``batches`` batches of ``epoch``."""
        return (epoch - self.epochs_before - 1) * self.steps_per_epoch + batches // self.config.accumulation

    def count_batches(self, epoch: int) -> int:
        """Batches of ``epoch``."""
        return min(len(self.batches), (self.schedule.steps - self.count_steps(epoch, 0)) * self.config.accumulation)

    def build_optimizer(self, student: Student) -> None:
        """Make a new optimizer. A stage continues with the weights of the one before, and without its momentum."""
        self.optimizer = build_optimizer(student, self.config.optimizer)

    def updates_stubborn_after(self, epoch: int) -> bool:
        """Whether the stubborn classes are updated after ``epoch``."""
        stubborn = self.config.augment.stubborn
        return stubborn.probability > 0 and epoch % stubborn.update_every == 0

    def evaluates_after(self, epoch: int) -> bool:
        """Whether the held-out split is evaluated after ``epoch``."""
        return epoch % self.config.eval_every == 0 or self.updates_stubborn_after(epoch)

    def step(self, task: Task, batch: Batch, epoch: int, number: int) -> dict[str, Tensor]:
        """Train on one batch, the ``number``-th of its epoch from 0. The last of each `accumulation` batches updates
        weights.

        Returns the loss and its terms, detached.
        """
        accumulation = self.config.accumulation
        step = self.count_steps(epoch, number)
        is_last = (number + 1) % accumulation == 0
        # DDP exchanges gradients only for the last batch of a step: once is enough, and saves time.
        context = nullcontext() if is_last or not hasattr(task.network, "no_sync") else task.network.no_sync()
        with context:
            terms = task.loss(batch, step / self.steps_per_epoch)
            (terms.loss / accumulation if accumulation > 1 else terms.loss).backward()
        if is_last:
            for group in self.optimizer.param_groups:
                group["lr"] = self.schedule.rate(step)
            self.optimizer.step()
            self.optimizer.zero_grad()
            task.after_step(self.steps_before + step + 1)
        return terms.parts


def open_training_data(config: TrainingConfig) -> Dataset:
    """Open the train and held-out splits for the training of ``config``. Raises one `DataError` with all faults."""
    trial, data = config.trial, config.data
    resized = [stage.image_size for stage in trial.schedule if stage.augment.crop == "resized"]
    if resized and data.stored_side is None:
        data = data.model_copy(update={"stored_side": default_stored_side(max(resized))})
    dataset = open_dataset(data, trial.inference_size, whole_train=bool(resized))
    for mode in other_inference_modes(trial):  # finds faults now, and not at the end of a long training
        dataset.resized(mode.side, ["held_out"])
    return dataset


def open_train_split(dataset: Dataset, stage: TrialConfig) -> Split:
    """The images that ``stage`` trains on: whole images for `crop: resized`, otherwise squares of its size."""
    is_whole = stage.augment.crop == "resized"
    if is_whole == dataset.whole_train and (is_whole or stage.image_size == dataset.image_size):
        return dataset.splits["train"]
    return open_dataset(dataset.config, stage.image_size, whole_train=is_whole).splits["train"]


def load_initial_stubborn(trial: TrialConfig, dataset: Dataset) -> Tensor | None:
    """Stubborn classes from the held-out predictions of an earlier training, bool [classes]; None if no file is
    configured.

    Raises `PredictionsError` if the file is not of this data's held-out split.
    """
    stubborn = trial.schedule[0].augment.stubborn
    if stubborn.probability == 0 or stubborn.predictions is None:
        return None
    earlier = read_predictions(Path(stubborn.predictions))
    if earlier.split != "held_out" or earlier.fingerprint != dataset.fingerprint:
        raise PredictionsError(
            f"{stubborn.predictions}: trial.augment.stubborn.predictions: must be of held_out of the same data, got "
            f"{earlier.split} of {'the same' if earlier.fingerprint == dataset.fingerprint else 'different'} data"
        )
    return torch.from_numpy(stubborn_classes(recalls(earlier.probs, np.asarray(earlier.labels)), stubborn))


def collect_notes(config: TrainingConfig) -> list[str]:
    """Notes for `result.json`: what the training does differently from its config."""
    trial, notes = config.trial, []
    if config.data.merged_held_out_per_class is not None:
        notes.append("data.merged_held_out_per_class: the weights of the last evaluation are kept")
    for number, stage in enumerate(trial.schedule):
        place, half = (f"trial.stages.{number}" if trial.stages else "trial"), (stage.epochs or 0) / 2
        configured = {
            "optimizer.warmup_epochs": stage.optimizer.warmup_epochs,
            "method.rampup_epochs": stage.method.rampup_epochs,
        }
        notes += [
            f"{place}.{name}: {epochs:g} is more than half of the epochs; shortened to {half:g}"
            for name, epochs in configured.items()
            if epochs > half and (name != "method.rampup_epochs" or has_rampup(stage.method))
        ]
    return notes
