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

    eta warms up as min(1 - 1 / (t + 1), decay), where t counts steps from 1. Floating-point buffers (batch norm's
    statistics) are averaged like the weights, so that they match them. Integer buffers are copied.
    """

    def __init__(self, student: ModelT, decay: float) -> None:
        self.decay = decay
        self.model = copy.deepcopy(student)
        self.model.requires_grad_(False)
        self._teacher_slots, self._student_slots = _find_slots(self.model), _find_slots(student)

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Average with the student. ``step`` counts optimizer steps from 1."""
        decay = min(1 - 1 / (step + 1), self.decay)
        pairs = list(zip(_read_slots(self._teacher_slots), _read_slots(self._student_slots), strict=True))
        averaged = [pair for pair in pairs if pair[0].is_floating_point()]
        copied = [pair for pair in pairs if not pair[0].is_floating_point()]
        # One call for all tensors is faster than a loop over them.
        torch._foreach_lerp_([teacher for teacher, _ in averaged], [student for _, student in averaged], 1 - decay)
        if copied:
            torch._foreach_copy_([teacher for teacher, _ in copied], [student for _, student in copied])


def _find_slots(model: nn.Module) -> list[Slot]:
    """The slots of all tensors in ``model``'s state dict. A tensor that several modules share has one slot.

    Walking the state dict takes longer than the averaging, so it is done once. Slots are stored instead of tensors
    because moving a model to a device replaces its buffers.
    """
    slots: dict[int, Slot] = {}
    for key in model.state_dict():
        path, _, name = key.rpartition(".")
        module = model.get_submodule(path)
        own: Mapping[str, Tensor | None] = module._parameters if name in module._parameters else module._buffers
        slots.setdefault(id(own[name]), (own, name))
    return list(slots.values())


def _read_slots(slots: list[Slot]) -> list[Tensor]:
    return [tensor for own, name in slots if (tensor := own[name]) is not None]
