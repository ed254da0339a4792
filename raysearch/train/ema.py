"""The teacher: an exponential moving average of the student's weights."""

import copy
from collections.abc import Mapping
from typing import Generic, TypeAlias, TypeVar

import torch
from torch import Tensor, nn

ModelT = TypeVar("ModelT", bound=nn.Module)
Slot: TypeAlias = tuple[Mapping[str, Tensor | None], str]
"""A module's own dict of parameters or buffers, and the name of one in it."""


class MovingAverage(Generic[ModelT]):
    """theta' = eta theta' + (1 - eta) theta after every optimizer step, theta'_0 = theta_0 (AR, "Mean Teacher").

    eta warms up as min(1 - 1 / (t + 1), decay). Floating-point buffers (batch norm's statistics) are averaged like
    weights, so that they fit the weights they stand beside; integer buffers are copied.
    """

    def __init__(self, student: ModelT, decay: float) -> None:
        self.decay = decay
        self.model = copy.deepcopy(student)
        self.model.requires_grad_(False)
        self._mine, self._students = _slots(self.model), _slots(student)

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move towards the student; ``step`` counts optimizer steps from 1."""
        decay = min(1 - 1 / (step + 1), self.decay)
        pairs = list(zip(_tensors(self._mine), _tensors(self._students), strict=True))
        averaged = [pair for pair in pairs if pair[0].is_floating_point()]
        copied = [pair for pair in pairs if not pair[0].is_floating_point()]
        torch._foreach_lerp_([mine for mine, _ in averaged], [students for _, students in averaged], 1 - decay)
        if copied:
            torch._foreach_copy_([mine for mine, _ in copied], [students for _, students in copied])


def _slots(model: nn.Module) -> list[Slot]:
    """Where the tensors of ``model``'s state dict are kept, each tensor once, however many modules share it.

    Walking the state dict takes longer than the averaging, so it is done once. Not the tensors are kept: moving a model
    to a device replaces its buffers.
    """
    slots: dict[int, Slot] = {}
    for key in model.state_dict():
        path, _, name = key.rpartition(".")
        module = model.get_submodule(path)
        own: Mapping[str, Tensor | None] = module._parameters if name in module._parameters else module._buffers
        slots.setdefault(id(own[name]), (own, name))
    return list(slots.values())


def _tensors(slots: list[Slot]) -> list[Tensor]:
    return [tensor for own, name in slots if (tensor := own[name]) is not None]
