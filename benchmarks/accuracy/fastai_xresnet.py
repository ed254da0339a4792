"""fastai's `vision_learner` with its defaults: xresnet18 from scratch, `aug_transforms`, one cycle.

Runs in .venv-bench. The one cycle follows the clock, so that it ends with the budget.
"""

import torch
from fastai.vision.all import (
    Callback,
    CancelFitException,
    CancelValidException,
    CategoryBlock,
    DataBlock,
    ImageBlock,
    IndexSplitter,
    Normalize,
    Resize,
    aug_transforms,
    imagenet_stats,
    set_seed,
    vision_learner,
    xresnet18,
)

from benchmarks.accuracy.side import Clock, Trained, read_task, write_result

MANY_EPOCHS = 100_000
"""More than any budget allows. The clock ends the training."""


class FollowClock(Callback):
    """Set the position in the schedule from the clock, before fastai's `ParamScheduler` reads it."""

    order = 0

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.images = 0

    def before_batch(self) -> None:
        position = self.clock.next_step()
        if position is None:
            raise CancelFitException
        self.learn.pct_train = position
        self.images += len(self.y)

    def before_validate(self) -> None:
        raise CancelValidException  # all labelled images are for training


def main() -> None:
    """Run the task in the file named on the command line."""
    task = read_task()
    set_seed(0)
    images, labels = task.labelled()
    # The items are row numbers, because fastai needs hashable items. No workers: fastai starts new ones in each epoch.
    pictures = list(images)
    block = DataBlock(
        blocks=(ImageBlock, CategoryBlock(vocab=range(int(labels.max()) + 1))),
        get_x=lambda row: pictures[row],
        get_y=lambda row: int(labels[row]),
        splitter=IndexSplitter([]),
        item_tfms=Resize(task.image_size),
        batch_tfms=[*aug_transforms(), Normalize.from_stats(*imagenet_stats)],
    )
    loaders = block.dataloaders(range(len(images)), device=torch.device("cpu"), num_workers=0)
    learner = vision_learner(loaders, xresnet18, pretrained=False)
    follow = FollowClock(Clock(task))
    with learner.no_bar(), learner.no_logging():
        learner.fit_one_cycle(MANY_EPOCHS, cbs=[follow])
    trained = Trained.now(task, follow.images / len(labels), "xresnet18, float32")
    pictures += task.test_images()
    with learner.no_bar():
        probs, _ = learner.get_preds(dl=loaders.test_dl(range(len(images), len(pictures))))
    write_result(task, trained, ["fastai", "torch"], probs.argmax(dim=1).numpy())


if __name__ == "__main__":
    main()
