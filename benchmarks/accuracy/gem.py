"""Tuned cross entropy, the strong simple method of the data-efficient benchmark (GEM; Brigato et al. 2021, 2022).

Batch size, learning rate, weight decay and augmentation are those of the first entry of spaces/gem.yaml: a WRN-16-8
with SGD, random crops and flips, and a cosine schedule. The authors train for 500 epochs, which a processor does not
reach in ten minutes. The script therefore uses the widest WRN-16 that trains for at least `MIN_EPOCHS` epochs. The note
of the result names it. The schedule follows the clock, so that it ends with the budget.
"""

import math
import statistics
import time

import numpy as np
import timm
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.accuracy.side import Clock, Task, Trained, read_task, squares, write_result
from raysearch.augment import augment_view
from raysearch.config import AugmentConfig
from raysearch.models import normalise  # also registers the WRNs
from raysearch.train.precision import choose_precision

BATCH, LEARNING_RATE, WEIGHT_DECAY, MOMENTUM = 10, 0.00455, 0.00529, 0.9
AUGMENT = AugmentConfig(crop="pad", crop_padding=4, hflip=0.5, policy="none", mixing="none", erasing=0)
WIDTHS = (1, 2, 4, 8)
MIN_EPOCHS = 50
TIMED_STEPS = 3


class Training:
    """A WRN-16 of a given width and its optimizer."""

    def __init__(self, width: int, num_classes: int) -> None:
        torch.manual_seed(0)
        self.generator = torch.Generator().manual_seed(0)
        self.name = f"wrn_16_{width}"
        self.model = timm.create_model(self.name, num_classes=num_classes).to(memory_format=torch.channels_last)
        self.optimizer = torch.optim.SGD(
            self.model.parameters(), LEARNING_RATE, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY
        )
        self.precision = choose_precision("auto", self.model, torch.device("cpu"))
        self.model.train()

    def step(self, images: Tensor, labels: Tensor, position: float) -> None:
        """Train on a uint8 batch [batch, 3, height, width] at a position of the schedule from 0 to 1."""
        for group in self.optimizer.param_groups:
            group["lr"] = LEARNING_RATE * (1 + math.cos(math.pi * position)) / 2
        views = augment_view(images, AUGMENT, images.shape[-1], self.generator)
        loss = F.cross_entropy(self.logits(views), labels)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()

    def logits(self, images: Tensor) -> Tensor:
        """uint8 [batch, 3, height, width] -> [batch, classes]."""
        inputs = normalise(images).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.precision == "bfloat16"):
            return self.model(inputs).float()


def main() -> None:
    """Run the task in the file named on the command line."""
    task = read_task()
    assert task.image_size
    pictures, labels = task.labelled()
    images, targets = as_tensor(squares(pictures, task.image_size)), torch.from_numpy(labels.astype(np.int64))
    training, planned = widest(task, images, targets)
    clock, seen = Clock(task), 0
    while not clock.is_over:
        for rows in torch.randperm(len(images)).split(BATCH):
            if (position := clock.next_step()) is None:
                break
            training.step(images[rows], targets[rows], position)
            seen += len(rows)
    note = f"{training.name}, {training.precision}, {planned:.0f} epochs planned"
    trained = Trained.now(task, seen / len(images), note)
    training.model.eval()
    with torch.inference_mode():
        test = as_tensor(squares(task.test_images(), task.image_size))
        predicted = torch.cat([training.logits(batch).argmax(dim=1) for batch in test.split(100)])
    write_result(task, trained, ["timm", "torch"], predicted.numpy())


def widest(task: Task, images: Tensor, labels: Tensor) -> tuple[Training, float]:
    """The widest network that trains for `MIN_EPOCHS` epochs, or else the narrowest, and its expected epochs.

    Times a few steps of each width, from the narrowest on, and stops at the first width that is too slow.
    """
    num_classes = int(labels.max()) + 1
    best, planned = WIDTHS[0], 0.0
    for width in WIDTHS:
        seconds = time_step(Training(width, num_classes), images[:BATCH], labels[:BATCH])
        left = task.started + task.budget_s - time.time()
        epochs = left / seconds * BATCH / len(images)
        if width == WIDTHS[0] or epochs >= MIN_EPOCHS:
            best, planned = width, epochs
        if epochs < MIN_EPOCHS:
            break
    return Training(best, num_classes), planned


def time_step(training: Training, images: Tensor, labels: Tensor) -> float:
    """Median seconds of a step. The first step is slower and does not count."""
    seconds = []
    for _ in range(1 + TIMED_STEPS):
        start = time.perf_counter()
        training.step(images, labels, 0.0)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:])


def as_tensor(images: np.ndarray) -> Tensor:
    """uint8 [images, height, width, 3] -> uint8 [images, 3, height, width]."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()


if __name__ == "__main__":
    main()
