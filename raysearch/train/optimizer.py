"""The optimizer (from timm) and the learning rate of every step."""

import math
from typing import Any

from timm.optim import create_optimizer_v2
from torch import nn
from torch.optim import Optimizer

from raysearch.config import OptimizerConfig, TrialConfig


def build_optimizer(model: nn.Module, config: OptimizerConfig) -> Optimizer:
    """Build the optimizer. Biases and normalisation weights have no weight decay.

    PyTorch's optimizers run fused on GPUs; `rmsproptf` is timm's and has no fused form.
    """
    options_by_name: dict[str, dict[str, Any]] = {
        "rmsproptf": {"momentum": config.momentum, "alpha": 0.9, "eps": 1e-3},
        "sgd": {"momentum": config.momentum, "nesterov": config.momentum > 0},
        "adam": {},
        "adamw": {},
    }
    options = options_by_name[config.name]
    if config.name != "rmsproptf" and next(model.parameters()).is_cuda:
        options["fused"] = True
    return create_optimizer_v2(model, opt=config.name, lr=config.lr, weight_decay=config.weight_decay, **options)


class Schedule:
    """The learning rate at each step of a stage: linear warm-up over at most half of it, then cosine decay to 0.

    `end_after` changes the number of steps while the stage runs. The rest of the curve is then stretched or compressed
    to the remaining steps: the learning rate has no jump and still ends at 0.
    """

    def __init__(self, stage: TrialConfig, steps_per_epoch: int, workers: int = 1) -> None:
        config = stage.optimizer
        epochs = stage.epochs or 0
        images_per_step = stage.batch_size * workers * stage.accumulation
        # The linear scaling rule (Goyal et al. 2017).
        scale = images_per_step / config.lr_batch if config.lr_batch else 1.0
        self.peak = config.lr * scale
        self.start = min(config.warmup_lr, self.peak)
        self.planned_steps = steps_per_epoch * epochs
        self.steps = self.planned_steps
        """Number of steps, after all changes"""
        self.warmup_steps = round(min(config.warmup_epochs, epochs / 2) * steps_per_epoch)
        self.changes: list[tuple[int, int]] = []
        """The arguments of each call of `end_after`"""
        self._piece = (0, 0.0, 1.0)
        """Since the last change: its step, its place on the planned curve, and planned steps per step"""

    def end_after(self, steps: int, step: int) -> None:
        """From ``step`` on, end after ``steps`` steps in total. Both count from 0 in the stage, and step <= steps."""
        assert step <= steps, f"{step} steps are already done, got {steps}"
        place = self._place(step)
        self._piece = (step, place, (self.planned_steps - place) / max(1, steps - step))
        self.steps = steps
        self.changes.append((steps, step))

    def rate(self, step: int) -> float:
        """The learning rate of ``step``, which counts from 0 in the stage."""
        place = self._place(step)
        if place < self.warmup_steps:
            return self.start + (self.peak - self.start) * place / self.warmup_steps
        progress = (place - self.warmup_steps) / max(1, self.planned_steps - self.warmup_steps)
        return self.peak * 0.5 * (1 + math.cos(math.pi * progress))

    def _place(self, step: int) -> float:
        """The place of ``step`` on the planned curve, in planned steps."""
        first, place, speed = self._piece
        return place + (step - first) * speed
