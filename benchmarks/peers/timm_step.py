"""The training step of timm's ``train.py``, built from timm's own task, loss, optimizer, schedule and EMA."""

from contextlib import AbstractContextManager

import timm
import torch
from timm.optim import create_optimizer_v2
from timm.scheduler import create_scheduler_v2
from timm.task import ClassificationTask
from timm.utils import AverageMeter
from torch import Tensor

from raysearch.config import IMAGE_MEAN, IMAGE_STD, TrialConfig


class TimmStep:
    """The settings of ``config`` that timm has, too: one view, no mixing, label smoothing, EMA with warm-up.

    Channels last and bfloat16 (``use_bfloat16``) are options of ``train.py`` and set as on our side.
    """

    def __init__(self, config: TrialConfig, num_classes: int, steps_per_epoch: int, use_bfloat16: bool) -> None:
        model = timm.create_model(config.backbone, num_classes=num_classes, drop_rate=config.dropout)
        self.task = ClassificationTask(
            model.to(memory_format=torch.channels_last),
            criterion_kwargs={"smoothing": config.label_smoothing},
            verbose=False,
        )
        self.task.setup_ema(decay=config.method.ema_decay, use_warmup=True)
        options = {"momentum": config.optimizer.momentum, "alpha": 0.9, "eps": 1e-3}
        assert config.optimizer.name == "rmsproptf"
        self.optimizer = create_optimizer_v2(
            model, config.optimizer.name, config.optimizer.lr, config.optimizer.weight_decay, **options
        )
        self.schedule, _ = create_scheduler_v2(
            self.optimizer,
            num_epochs=config.epochs,
            warmup_epochs=int(config.optimizer.warmup_epochs),
            warmup_lr=config.optimizer.warmup_lr,
            step_on_epochs=False,
            updates_per_epoch=steps_per_epoch,
        )
        self.mean = torch.tensor(IMAGE_MEAN).view(1, 3, 1, 1) * 255
        self.std = torch.tensor(IMAGE_STD).view(1, 3, 1, 1) * 255
        self.losses = AverageMeter()
        self.use_bfloat16 = use_bfloat16
        self.updates = 0
        self.task.train()
        self.optimizer.zero_grad()

    def __call__(self, images: Tensor, labels: Tensor) -> None:
        """``images`` uint8 [batch, 3, height, width], ``labels`` int64 [batch]."""
        inputs = images.float().sub_(self.mean).div_(self.std)  # timm's loader
        inputs = inputs.contiguous(memory_format=torch.channels_last)
        with self._autocast():
            loss = self.task(inputs, labels)["loss"]
        loss.backward()
        self.optimizer.step()
        self.losses.update(loss.item(), len(images))
        self.updates += 1
        self.optimizer.zero_grad()
        self.task.update_ema(step=self.updates)
        self.schedule.step_update(num_updates=self.updates, metric=self.losses.avg)

    def _autocast(self) -> AbstractContextManager:
        return torch.autocast("cpu", torch.bfloat16, enabled=self.use_bfloat16)
