"""The processes that train one network together, as this process sees them; alone, everything here does nothing.

Whoever starts the processes (torchrun, Ray Train) makes the process group; nothing here knows which it was.
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
"""How long processes of a group wait for each other before they give up."""


@dataclass(frozen=True)
class World:
    """``rank`` of ``size`` processes, and the device that this one computes on."""

    rank: int
    size: int
    device: torch.device

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and speaks to the host."""
        return self.rank == 0

    def any(self, flag: bool) -> bool:
        """Whether ``flag`` holds in any process: the same answer in all."""
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
        """The main process's tensor; the others pass one of the same shape and type."""
        if self.size == 1:
            return values
        sent = values.to(self.device)
        dist.broadcast(sent, src=0)
        return sent.to(values.device)


def current_world() -> World:
    """The process group that stands, or this process alone; on its GPU where there is one."""
    is_group = dist.is_available() and dist.is_initialized()
    rank, size = (dist.get_rank(), dist.get_world_size()) if is_group else (0, 1)
    if not torch.cuda.is_available():
        return World(rank, size, torch.device("cpu"))
    # Whoever started the processes has given each a GPU of its own.
    return World(rank, size, torch.device("cuda", torch.cuda.current_device()))


def is_lost_peer(error: BaseException) -> bool:
    """Whether a process failed only because another one of its group is gone."""
    if isinstance(error, dist.DistError):  # NCCL's, the store's, the network's
        return True
    # gloo's have no class of their own, but name its source file.
    return isinstance(error, RuntimeError) and "gloo/" in str(error)


@contextmanager
def torchrun_group() -> Iterator[World]:
    """Under torchrun, the process group of its workers (NCCL on GPUs, gloo on CPUs); else this process alone."""
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        yield current_world()
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    # The others wait while the first looks at the held-out split, at its end ten times over.
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo", timeout=LONGEST_WAIT)
    try:
        yield current_world()
    finally:
        dist.destroy_process_group()
