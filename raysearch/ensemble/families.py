"""An ensemble of named families: the plain mean of each one's best trials, as the VIPriors papers made theirs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from raysearch.ensemble.candidates import Candidates
from raysearch.ensemble.facts import Facts, config_value
from raysearch.ensemble.greedy_vote import scores_of_means
from raysearch.ensemble.library import Library
from raysearch.ensemble.recipe import MIN_FAMILIES, Family
from raysearch.ensemble.trajectory import Selection, selection_of
from raysearch.errors import StudyError
from raysearch.paths import StudyPaths


@dataclass(frozen=True)
class FamilySlots:
    """Which candidates may stand for which family."""

    families: Sequence[Family]
    trials: Sequence[int | None]
    """Of each candidate; None of those of no trial, which are of no family"""
    is_of: np.ndarray
    """bool [families, candidates]"""

    def fill(self, ranking: Sequence[int]) -> list[list[int]]:
        """Candidates for each family in turn, the best of ``ranking`` first: a view of each of its trials at most."""
        taken: set[int | None] = set()
        filled = []
        for family, is_of in zip(self.families, self.is_of, strict=True):
            mine: list[int] = []
            for candidate in ranking:
                if len(mine) < family.count and is_of[candidate] and self.trials[candidate] not in taken:
                    mine.append(candidate)
                    taken.add(self.trials[candidate])
            filled.append(mine)
        return filled

    def notes(self, filled: Sequence[Sequence[int]]) -> Iterator[str]:
        """The families that have too few trials, with what would provide them."""
        for family, mine in zip(self.families, filled, strict=True):
            if len(mine) < family.count:
                has = f"has {len(mine)} of {family.count} trials" if mine else "is missing"
                more = "more finished trials" if mine else "a finished trial"
                yield f"family {family.name} {has}; {more} with {_wanted(family)} would fill it"

    def require(self, filled: Sequence[Sequence[int]], where: str) -> None:
        """Raise `StudyError`, naming what is missing, where fewer than two families are there."""
        found = sum(map(bool, filled))
        if found < MIN_FAMILIES:
            raise StudyError(
                [
                    f"{where}: an ensemble of families needs at least {MIN_FAMILIES} of them, but found {found} "
                    f"of {len(self.families)}",
                    *self.notes(filled),
                ]
            )


def assign_slots(
    study: StudyPaths, library: Library, families: Sequence[Family], facts: Mapping[int, Facts]
) -> FamilySlots:
    """From the backbones and configs of the library's trials; ``facts`` by trial."""
    trials = [candidate.trial_number for candidate in library.candidates]
    has = {
        (at, trial): _takes(study, family, trial, facts[trial])
        for at, family in enumerate(families)
        for trial in set(trials)
    }
    is_of = np.zeros((len(families), len(library.all)), dtype=bool)
    for at in range(len(families)):
        is_of[at, : len(trials)] = [has[at, trial] for trial in trials]
    return FamilySlots(families, [*trials, *(None for _ in library.added)], is_of)


def mean_of_families(candidates: Candidates, slots: FamilySlots) -> Selection:
    """The plain mean of what fills the families."""
    ranking = candidates.ranking
    picks = [candidate for mine in slots.fill(ranking) for candidate in mine]
    found = selection_of(picks, scores_of_means(candidates, picks), len(picks), len(candidates))
    return replace(found, best_single=ranking[0])


def _takes(study: StudyPaths, family: Family, number: int, facts: Facts) -> bool:
    if facts.backbone is None or not family.takes(facts.backbone):
        return False
    trial = study.trial(number)
    return all(config_value(trial, place) in _several(value) for place, value in family.where.items())


def _several(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _wanted(family: Family) -> str:
    conditions = {"backbone": family.backbones, **{place: _several(value) for place, value in family.where.items()}}
    return " and ".join(f"{place}: {' or '.join(map(str, values))}" for place, values in conditions.items())
