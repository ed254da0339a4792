"""The optimizer (timm's) and the learning rate of every step."""

import math
from typing import Any

from timm.optim import create_optimizer_v2
from torch import nn
from torch.optim import Optimizer

from raysearch.config import OptimizerConfig, TrialConfig


def build_optimizer(model: nn.Module, config: OptimizerConfig) -> Optimizer:
    """Biases and normalisation weights get no weight decay. torch's own optimizers are fused on GPUs."""
    own: dict[str, dict[str, Any]] = {
        "rmsproptf": {"momentum": config.momentum, "alpha": 0.9, "eps": 1e-3},
        "sgd": {"momentum": config.momentum, "nesterov": config.momentum > 0},
        "adam": {},
        "adamw": {},
    }
    options = own[config.name]
    if config.name != "rmsproptf" and next(model.parameters()).is_cuda:
        options["fused"] = True
    return create_optimizer_v2(model, opt=config.name, lr=config.lr, weight_decay=config.weight_decay, **options)


class Schedule:
    """The learning rate at each step of a stage: linear warm-up, at most half the stage, then a cosine to 0."""

    def __init__(self, stage: TrialConfig, steps_per_epoch: int, workers: int = 1) -> None:
        config = stage.optimizer
        epochs = stage.epochs or 0
        in_a_step = stage.batch_size * workers * stage.accumulation
        # The linear scaling rule (Goyal et al. 2017).
        scale = in_a_step / config.lr_batch if config.lr_batch else 1.0
        self.peak = config.lr * scale
        self.start = min(config.warmup_lr, self.peak)
        self.steps = steps_per_epoch * epochs
        self.warmup_steps = round(min(config.warmup_epochs, epochs / 2) * steps_per_epoch)

    def rate(self, step: int) -> float:
        """``step`` counts from 0."""
        if step < self.warmup_steps:
            return self.start + (self.peak - self.start) * step / self.warmup_steps
        progress = (step - self.warmup_steps) / max(1, self.steps - self.warmup_steps)
        return self.peak * 0.5 * (1 + math.cos(math.pi * progress))
