"""Gather the samples of all workers for the contrastive term. Without torch.distributed, return the input."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional

SLOTS = 4
"""Largest number of images mixed into one (RICAP)."""


def gather_views(rows: Tensor, views: int) -> Tensor:
    """``rows`` [views * batch, width] of every rank as [views * ranks * batch, width], with gradient.

    All rows of one view come before those of the next, and within a view the ranks follow each other. The gradient is
    correct if every rank computes the same loss from all rows and DistributedDataParallel averages the gradients.
    """
    if not _is_distributed():
        return rows
    ranks = dist.get_world_size()
    return _AllRows.apply(rows).unflatten(0, (ranks, views, -1)).transpose(0, 1).flatten(0, 2)


def gather_labels(classes: Tensor, masses: Tensor) -> tuple[Tensor, Tensor]:
    """Mixed labels [batch, at most `SLOTS`] of every rank, as [ranks * batch, `SLOTS`], rank by rank.

    Each rank draws its own mixing, and a batch without mixing has fewer slots, so every rank pads with mass 0.
    """
    if not _is_distributed():
        return classes, masses
    assert classes.shape[1] <= SLOTS, f"at most {SLOTS} slots, got {classes.shape[1]}"
    missing = (0, SLOTS - classes.shape[1])
    return _all_rows(functional.pad(classes, missing)), _all_rows(functional.pad(masses, missing))


class _AllRows(torch.autograd.Function):
    """The rows of all ranks, rank by rank.

    Every rank computes the same loss from all rows, so the gradient of its own rows is complete without communication.
    DistributedDataParallel divides the sum over ranks by their number; the backward pass multiplies by it first.
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
