"""The process group that trains one network. In a single process, every collective operation does nothing.

torchrun or Ray Train starts the processes and makes the group. The code here is the same for both.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

LONGEST_WAIT = timedelta(hours=6)
"""Timeout of the process group: the longest time that one process waits for the others."""


@dataclass(frozen=True)
class World:
    """This process's ``rank`` among ``size`` processes, and its device."""

    rank: int
    size: int
    device: torch.device

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and reports metrics."""
        return self.rank == 0

    def any(self, flag: bool) -> bool:
        """Whether ``flag`` is true in any process. All processes get the same result, and wait for each other."""
        if self.size == 1:
            return flag
        flags = torch.tensor(float(flag), device=self.device)
        dist.all_reduce(flags, dist.ReduceOp.MAX)
        return bool(flags > 0)

    def mean(self, values: Tensor) -> Tensor:
        """The mean over all processes, elementwise."""
        if self.size > 1:
            dist.all_reduce(values, dist.ReduceOp.SUM)
        return values / self.size

    def broadcast(self, values: Tensor) -> Tensor:
        """The main process's tensor. The others pass a tensor of the same shape and dtype."""
        if self.size == 1:
            return values
        sent = values.to(self.device)
        dist.broadcast(sent, src=0)
        return sent.to(values.device)


def current_world() -> World:
    """The current process group, or this process alone. The device is a GPU if there is one."""
    is_group = dist.is_available() and dist.is_initialized()
    rank, size = (dist.get_rank(), dist.get_world_size()) if is_group else (0, 1)
    if not torch.cuda.is_available():
        return World(rank, size, torch.device("cpu"))
    # torchrun_group or Ray Train has set a different current device in each process.
    return World(rank, size, torch.device("cuda", torch.cuda.current_device()))


def is_lost_peer(error: BaseException) -> bool:
    """Whether ``error`` only says that another process of the group is gone."""
    if isinstance(error, dist.DistError):  # of NCCL, of the key-value store, of the network
        return True
    # gloo raises plain RuntimeErrors, whose message names its source file.
    return isinstance(error, RuntimeError) and "gloo/" in str(error)


@contextmanager
def torchrun_group() -> Iterator[World]:
    """Make the process group of torchrun (NCCL on GPUs, gloo on CPUs). Without torchrun: this process alone."""
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        yield current_world()
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    # The default timeout is too short: the others wait while the first evaluates, which takes long with TenCrop.
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo", timeout=LONGEST_WAIT)
    try:
        yield current_world()
    finally:
        dist.destroy_process_group()
