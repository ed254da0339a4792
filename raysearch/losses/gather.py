"""The samples of all workers on each of them, for a contrast with all; without torch.distributed, the worker's own."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional

SLOTS = 4
"""Images that are mixed into one, at most (RICAP)."""


def gather_views(rows: Tensor, views: int) -> Tensor:
    """``rows`` [views * batch, width] of every rank as [views * ranks * batch, width], with gradient.

    A view after the other, as each rank's own are, and in a view rank by rank. For a loss that every rank computes of
    all rows alike, under DistributedDataParallel's averaging.
    """
    if not _is_distributed():
        return rows
    ranks = dist.get_world_size()
    return _AllRows.apply(rows).unflatten(0, (ranks, views, -1)).transpose(0, 1).flatten(0, 2)


def gather_labels(classes: Tensor, masses: Tensor) -> tuple[Tensor, Tensor]:
    """Mixed labels [batch, at most `SLOTS`] of every rank, as [ranks * batch, `SLOTS`], rank by rank.

    Ranks draw their mixing apart, and a batch that is not mixed has fewer slots: all are filled up with mass 0.
    """
    if not _is_distributed():
        return classes, masses
    assert classes.shape[1] <= SLOTS, f"at most {SLOTS} slots, got {classes.shape[1]}"
    missing = (0, SLOTS - classes.shape[1])
    return _all_rows(functional.pad(classes, missing)), _all_rows(functional.pad(masses, missing))


class _AllRows(torch.autograd.Function):
    """All ranks' rows, rank by rank.

    Every rank computes the same loss of all rows, so the gradient of its own rows is whole without any communication.
    DistributedDataParallel divides the sum over ranks by their number, which the factor makes up for.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        return _all_rows(rows)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        ranks = dist.get_world_size()
        return gradient.chunk(ranks)[dist.get_rank()] * ranks


def _all_rows(rows: Tensor) -> Tensor:
    rows = rows.contiguous()
    parts = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, rows)
    return torch.cat(parts)


def _is_distributed() -> bool:
    return dist.is_available() and dist.is_initialized()
