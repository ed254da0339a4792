"""What an ensemble may cost: at most so many members, parameters, or milliseconds."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from raysearch.errors import StudyError

TOLERANCE = 1e-9
"""Relative: costs of 0.1 and 0.2 fit under 0.3, though their float sum is above it."""


@dataclass(frozen=True)
class Cap:
    """The groups of the chosen candidates, each counted once, may together cost at most ``limit``.

    Candidates share a group where the second costs nothing more: views of the same weights for parameters, of the
    same forward pass for latency. To cap members, each candidate is a group of its own that costs 1.
    """

    groups: np.ndarray
    """int [candidates]: each candidate's row of ``costs``"""
    costs: np.ndarray
    """float [groups], none negative"""
    limit: float
    name: str
    """What the user calls it, for messages: the recipe's key"""

    def of(self, candidates: np.ndarray) -> "Cap":
        """The same cap on a library of only these ``candidates`` (int)."""
        return replace(self, groups=self.groups[candidates])

    def fitting(self, chosen: Collection[int]) -> np.ndarray:
        """bool [candidates]: whether each fits beside those ``chosen``."""
        is_paid = np.zeros(len(self.costs), dtype=bool)
        is_paid[self.groups[list(chosen)]] = True
        further = np.where(is_paid, 0, self.costs)[self.groups]
        return self.costs[is_paid].sum() + further <= self.limit * (1 + TOLERANCE)


def fitting(caps: Iterable[Cap], chosen: Collection[int], candidates: int) -> np.ndarray:
    """bool [candidates]: whether each fits under all ``caps`` beside those ``chosen``."""
    fits = np.ones(candidates, dtype=bool)
    for cap in caps:
        fits &= cap.fitting(chosen)
    return fits


def affordable(caps: Sequence[Cap], order: Iterable[int], candidates: int) -> list[int]:
    """Of the candidates in ``order``, those that fit beside the ones kept before."""
    kept: list[int] = []
    for candidate in order:
        if not caps or fitting(caps, kept, candidates)[candidate]:
            kept.append(candidate)
    return kept


def check_caps(caps: Sequence[Cap], candidates: int) -> None:
    """Raise `StudyError`, naming cap, limit and smallest cost, where not even one candidate fits."""
    faults = [
        f"{cap.name}: no candidate fits under {cap.limit:g}, the smallest costs {cap.costs[cap.groups].min():g}; "
        "raise the limit"
        for cap in caps
        if not cap.fitting([]).any()
    ]
    if faults:
        raise StudyError(faults)
    if not fitting(caps, [], candidates).any():
        limits = " and ".join(
            f"{cap.name} (limit {cap.limit:g}, smallest cost {cap.costs[cap.groups].min():g})" for cap in caps
        )
        raise StudyError(f"no candidate fits under {limits} at once; raise a limit")
