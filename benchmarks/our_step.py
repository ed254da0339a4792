"""Our training step as in the training loop, on the CPU, repeated on one prepared batch."""

import numpy as np
import torch

from raysearch.config import AugmentConfig, MethodConfig, TrialConfig
from raysearch.data.dataset import Split
from raysearch.train.distributed import World
from raysearch.train.memory import keep_freed_memory
from raysearch.train.stage import Stage
from raysearch.train.task import Task

CLASSES = 10
STEPS_PER_EPOCH = 10
ALONE = World(0, 1, torch.device("cpu"))

PLAIN = MethodConfig(views=1, alpha=0.0, beta=0.0, gamma=0.0, aux_weight=0.0)
"""The method switched off: only cross entropy with label smoothing. The moving average is still computed."""
FULL = MethodConfig()

UNVARIED = AugmentConfig(crop="none", hflip=0.0, policy="none", erasing=0.0, mixing="none")
MIXED = UNVARIED.model_copy(update={"mixing": "both"})


class OurStep:
    """One training step for ``config``, from pixels to updated weights. `task` and `batch` are public for checks."""

    def __init__(self, config: TrialConfig) -> None:
        keep_freed_memory()  # as `train` does; it also applies to a peer in the same process
        torch.manual_seed(config.seed)
        self.task = Task(config, CLASSES, ALONE)
        self.stage = Stage(config, 0, _noise(config), ALONE, epochs_before=0, steps_before=0)
        self.stage.build_optimizer(self.task.student)
        self.batch = self.stage.batches[1, 0]
        self.steps = 0

    def __call__(self) -> None:
        """Normalise, mix, forward, loss, backward, update the weights and the teacher."""
        epoch, number = divmod(self.steps, STEPS_PER_EPOCH)
        self.stage.step(self.task, self.batch, epoch + 1, number)
        self.steps += 1


def _noise(config: TrialConfig) -> Split:
    """A train split with random pixels."""
    random, samples, size = np.random.default_rng(0), config.batch_size * STEPS_PER_EPOCH, config.image_size
    images = random.integers(256, size=(samples, size, size, 3), dtype=np.uint8)
    names = tuple(str(number) for number in range(samples))
    return Split("train", names, random.integers(CLASSES, size=samples), images)
