"""The checkpoint to resume a training from, written after each finished epoch.

It has no random state, because that of an epoch is derived from the seed and the epoch's number.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from raysearch.io import replacing
from raysearch.train.task import Task


def save(path: Path, task: Task, optimizer: Optimizer, is_stubborn: Tensor | None, epochs_done: int) -> None:
    """Write the checkpoint atomically: a kill leaves the previous one."""
    state = {
        "student": task.student.state_dict(),
        "teacher": task.teacher.model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "is_stubborn": is_stubborn,
        "epochs_done": epochs_done,
    }
    with replacing(path) as temporary:
        torch.save(state, temporary)


def restore(path: Path, task: Task) -> tuple[int, dict[str, Any], Tensor | None]:
    """Load the weights into ``task``. Returns the finished epochs, the optimizer's state and the stubborn classes."""
    state = torch.load(path, map_location="cpu", weights_only=True)
    task.student.load_state_dict(state["student"])
    task.teacher.model.load_state_dict(state["teacher"])
    return state["epochs_done"], state["optimizer"], state["is_stubborn"]
