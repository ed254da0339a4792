"""The optimizer (timm's) and the learning rate of every step."""

import math
from typing import Any

from timm.optim import create_optimizer_v2
from torch import nn
from torch.optim import Optimizer

from raysearch.config import OptimizerConfig


def build_optimizer(model: nn.Module, config: OptimizerConfig) -> Optimizer:
    """Biases and normalisation weights get no weight decay."""
    own: dict[str, dict[str, Any]] = {
        "rmsproptf": {"momentum": config.momentum, "alpha": 0.9, "eps": 1e-3},
        "sgd": {"momentum": config.momentum},
        "adamw": {},
    }
    return create_optimizer_v2(
        model, opt=config.name, lr=config.lr, weight_decay=config.weight_decay, **own[config.name]
    )


def learning_rate(config: OptimizerConfig, step: int, steps_per_epoch: int, epochs: int) -> float:
    """Linear from ``warmup_lr`` to ``lr`` over the warm-up, then a cosine to 0. ``step`` counts from 0."""
    total = steps_per_epoch * epochs
    warmup = round(warmup_epochs(config, epochs) * steps_per_epoch)
    if step < warmup:
        return config.warmup_lr + (config.lr - config.warmup_lr) * step / warmup
    return config.lr * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))


def warmup_epochs(config: OptimizerConfig, epochs: int) -> float:
    """The warm-up's length, at most half the run."""
    return min(config.warmup_epochs, epochs / 2)
