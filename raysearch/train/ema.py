"""The teacher: an exponential moving average of the student's weights."""

import copy
from typing import Generic, TypeVar

import torch
from torch import nn

ModelT = TypeVar("ModelT", bound=nn.Module)


class MovingAverage(Generic[ModelT]):
    """theta' = eta theta' + (1 - eta) theta after every optimizer step, theta'_0 = theta_0 (AR, "Mean Teacher").

    eta warms up as min(1 - 1 / (t + 1), decay). Floating-point buffers (batch norm's statistics) are averaged like
    weights, so that they fit the weights they stand beside; integer buffers are copied.
    """

    def __init__(self, student: ModelT, decay: float) -> None:
        self.decay = decay
        self.model = copy.deepcopy(student)
        self.model.requires_grad_(False)
        pairs = list(zip(self.model.state_dict().values(), student.state_dict().values(), strict=True))
        self._averaged = [pair for pair in pairs if pair[0].is_floating_point()]
        self._copied = [pair for pair in pairs if not pair[0].is_floating_point()]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move towards the student; ``step`` counts optimizer steps from 1."""
        decay = min(1 - 1 / (step + 1), self.decay)
        torch._foreach_lerp_([a for a, _ in self._averaged], [b for _, b in self._averaged], 1 - decay)
        for mine, students in self._copied:
            mine.copy_(students)
