"""Limits on the cost of an ensemble: number of members, parameters, or milliseconds per image."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from raysearch.errors import StudyError

TOLERANCE = 1e-9
"""Relative: costs of 0.1 and 0.2 fit under 0.3, although their float sum exceeds it."""


@dataclass(frozen=True)
class Cap:
    """A limit on the total cost of the chosen candidates' groups, each group counted once.

    Candidates share a group if the second one costs nothing more: views of the same weights for parameters, views of
    the same forward pass for latency. To limit the number of members, each candidate is its own group with cost 1.
    """

    groups: np.ndarray
    """int [candidates]: each candidate's row of ``costs``"""
    costs: np.ndarray
    """float [groups], none negative"""
    limit: float
    name: str
    """The recipe's key, for messages"""

    def restrict(self, candidates: np.ndarray) -> "Cap":
        """The same cap for a library of only these ``candidates`` (int)."""
        return replace(self, groups=self.groups[candidates])

    def find_fitting(self, chosen: Collection[int]) -> np.ndarray:
        """bool [candidates]: whether each candidate fits together with those ``chosen``."""
        is_paid = np.zeros(len(self.costs), dtype=bool)
        is_paid[self.groups[list(chosen)]] = True
        additional = np.where(is_paid, 0, self.costs)[self.groups]
        return self.costs[is_paid].sum() + additional <= self.limit * (1 + TOLERANCE)


def find_fitting(caps: Iterable[Cap], chosen: Collection[int], candidates: int) -> np.ndarray:
    """bool [candidates]: whether each candidate fits under all ``caps`` together with those ``chosen``."""
    fits = np.ones(candidates, dtype=bool)
    for cap in caps:
        fits &= cap.find_fitting(chosen)
    return fits


def filter_affordable(caps: Sequence[Cap], order: Iterable[int], candidates: int) -> list[int]:
    """Go through the candidates in ``order`` and keep each one that fits together with those kept before."""
    kept: list[int] = []
    for candidate in order:
        if not caps or find_fitting(caps, kept, candidates)[candidate]:
            kept.append(candidate)
    return kept


def check_caps(caps: Sequence[Cap], candidates: int) -> None:
    """Raise `StudyError`, naming cap, limit and smallest cost, if no candidate fits."""
    faults = [
        f"{cap.name}: no candidate fits under {cap.limit:g}, the smallest costs {cap.costs[cap.groups].min():g}; "
        "raise the limit"
        for cap in caps
        if not cap.find_fitting([]).any()
    ]
    if faults:
        raise StudyError(faults)
    if not find_fitting(caps, [], candidates).any():
        limits = " and ".join(
            f"{cap.name} (limit {cap.limit:g}, smallest cost {cap.costs[cap.groups].min():g})" for cap in caps
        )
        raise StudyError(f"no candidate fits under {limits} at once; raise a limit")
