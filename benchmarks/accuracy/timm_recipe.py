"""timm's recipe for small labelled sets, built from timm's own loader, mixing, optimizer, schedule and EMA.

The optimizer is that of "ResNet strikes back" (Wightman et al. 2021): LAMB with learning rate 5e-3, weight decay 0.02
and a cosine schedule with warm-up. RandAugment, random erasing, mixup or CutMix, label smoothing and EMA are those of
timm's published commands. The learning rate is not scaled to the small batch, because a budget has few updates. After
120 updates at 32 px on the train split of digits, resnet18 reached 60 % on val with it, 32 % with the scaled one, and
11 % and 37 % with SGD, the default of ``train.py``, with learning rates 0.025 and 0.1.

The schedule follows the clock, so that it ends with the budget.
"""

from collections.abc import Sequence

import numpy as np
import timm
import torch
from PIL import Image
from timm.data import Mixup, create_loader
from timm.loss import SoftTargetCrossEntropy
from timm.optim import create_optimizer_v2
from timm.scheduler import create_scheduler_v2
from timm.utils import ModelEmaV3

from benchmarks.accuracy.side import Clock, Task, Trained, read_task, write_result
from raysearch.train.precision import choose_precision

RANDAUGMENT = "rand-m9-mstd0.5-mmax9-inc1"
"""The recipes' RandAugment, with the magnitude limited to 9. At 10, timm posterizes to 0 bits, which Pillow refuses."""
BATCH = 64
LEARNING_RATE, WEIGHT_DECAY = 5e-3, 0.02
SCHEDULE = 10_000
"""Nominal length of the schedule. The clock's position times this length is the update that timm's scheduler gets."""


class Pictures(torch.utils.data.Dataset):
    """The images and labels. timm's `create_loader` sets ``transform``."""

    def __init__(self, images: Sequence[Image.Image], labels: np.ndarray) -> None:
        self.images, self.labels = images, labels
        self.transform = None

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        assert self.transform is not None
        return self.transform(self.images[index]), int(self.labels[index])


def main() -> None:
    """Run the task in the file named on the command line."""
    task = read_task()
    torch.manual_seed(0)
    np.random.seed(0)  # timm's mixing draws from it
    model, trained = train(task)
    write_result(task, trained, ["timm", "torch"], predict(model, task))


def train(task: Task) -> tuple[torch.nn.Module, Trained]:
    """Train until the budget ends. Returns the EMA of the model."""
    images, labels = task.labelled()
    num_classes = int(labels.max()) + 1
    loader = create_loader(
        Pictures(images, labels),
        (3, task.image_size, task.image_size),
        BATCH,
        is_training=True,
        auto_augment=RANDAUGMENT,
        re_prob=0.25,
        re_mode="pixel",
        interpolation="random",
        num_workers=1,
        use_prefetcher=False,
    )
    mix = Mixup(mixup_alpha=0.2, cutmix_alpha=1.0, label_smoothing=0.1, num_classes=num_classes)
    model = timm.create_model(task.variant, num_classes=num_classes).to(memory_format=torch.channels_last)
    precision = choose_precision("auto", model, torch.device("cpu"))
    average = ModelEmaV3(model, decay=0.998, use_warmup=True)
    optimizer = create_optimizer_v2(model, "lamb", LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule, _ = create_scheduler_v2(
        optimizer, num_epochs=SCHEDULE, warmup_epochs=SCHEDULE // 20, step_on_epochs=False, updates_per_epoch=1
    )
    loss_function = SoftTargetCrossEntropy()
    clock, updates = Clock(task), 0
    model.train()
    while not clock.is_over:
        for batch, targets in loader:
            if (position := clock.next_step()) is None:
                break
            schedule.step_update(int(position * SCHEDULE))
            mixed, soft_targets = mix(batch, targets)
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
                logits = model(mixed.contiguous(memory_format=torch.channels_last))
            loss = loss_function(logits.float(), soft_targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            updates += 1
            average.update(model, step=updates)
    return average.module, Trained.now(task, updates * BATCH / len(labels), f"{task.variant}, {precision}")


@torch.inference_mode()
def predict(model: torch.nn.Module, task: Task) -> np.ndarray:
    """The predicted class of each test image."""
    images = task.test_images()
    loader = create_loader(
        Pictures(images, np.zeros(len(images))),
        (3, task.image_size, task.image_size),
        BATCH,
        interpolation="bicubic",
        crop_pct=1.0,
        num_workers=0,
        use_prefetcher=False,
    )
    model.eval()
    return torch.cat([model(batch).argmax(dim=1) for batch, _ in loader]).numpy()


if __name__ == "__main__":
    main()
