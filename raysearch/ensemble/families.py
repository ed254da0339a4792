"""The plain mean of the best trials of each family, as the VIPriors papers built their ensembles."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from raysearch.ensemble.candidates import Candidates
from raysearch.ensemble.facts import Facts, config_value
from raysearch.ensemble.greedy_vote import score_means
from raysearch.ensemble.library import Library
from raysearch.ensemble.settings import MIN_FAMILIES, Family
from raysearch.ensemble.trajectory import Selection, make_selection
from raysearch.errors import StudyError
from raysearch.paths import StudyPaths


@dataclass(frozen=True)
class FamilySlots:
    """Which candidates may be members of which family."""

    families: Sequence[Family]
    trials: Sequence[int | None]
    """Trial number of each candidate; None for files added with --add, which belong to no family"""
    matches: np.ndarray
    """bool [families, candidates]"""

    def fill(self, ranking: Sequence[int]) -> list[list[int]]:
        """Candidates for each family in turn, in the order of ``ranking``; each trial is used once, with one view."""
        used: set[int | None] = set()
        members = []
        for family, matches in zip(self.families, self.matches, strict=True):
            of_family: list[int] = []
            for candidate in ranking:
                if len(of_family) < family.count and matches[candidate] and self.trials[candidate] not in used:
                    of_family.append(candidate)
                    used.add(self.trials[candidate])
            members.append(of_family)
        return members

    def notes(self, members: Sequence[Sequence[int]]) -> Iterator[str]:
        """One sentence for each family that has too few trials, with the trials that it needs."""
        for family, of_family in zip(self.families, members, strict=True):
            if len(of_family) < family.count:
                has = f"has {len(of_family)} of {family.count} trials" if of_family else "has no trial"
                yield f"family {family.name} {has}; it needs finished trials with {_conditions(family)}"

    def require(self, members: Sequence[Sequence[int]], where: str) -> None:
        """Raise `StudyError`, naming the incomplete families, unless at least `MIN_FAMILIES` have a member."""
        filled = sum(map(bool, members))
        if filled < MIN_FAMILIES:
            raise StudyError(
                [
                    f"{where}: an ensemble of families needs trials of at least {MIN_FAMILIES} families, but found "
                    f"trials of {filled} of {len(self.families)}",
                    *self.notes(members),
                ]
            )


def assign_slots(
    study: StudyPaths, library: Library, families: Sequence[Family], facts: Mapping[int, Facts]
) -> FamilySlots:
    """Match the library's trials with families by backbone and config; ``facts`` by trial number."""
    trials = [candidate.trial_number for candidate in library.candidates]
    is_match = {
        (index, trial): _matches(study, family, trial, facts[trial])
        for index, family in enumerate(families)
        for trial in set(trials)
    }
    matches = np.zeros((len(families), len(library.all)), dtype=bool)
    for index in range(len(families)):
        matches[index, : len(trials)] = [is_match[index, trial] for trial in trials]
    return FamilySlots(families, [*trials, *(None for _ in library.added)], matches)


def average_families(candidates: Candidates, slots: FamilySlots) -> Selection:
    """The plain mean of all families' members."""
    ranking = candidates.ranking
    picks = [candidate for of_family in slots.fill(ranking) for candidate in of_family]
    selection = make_selection(picks, score_means(candidates, picks), len(picks), len(candidates))
    # The first pick is the best of the first family, not of all candidates.
    return replace(selection, best_single=ranking[0])


def _matches(study: StudyPaths, family: Family, number: int, facts: Facts) -> bool:
    if facts.backbone is None or not family.takes(facts.backbone):
        return False
    trial = study.trial(number)
    return all(config_value(trial, place) in _as_list(value) for place, value in family.where.items())


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _conditions(family: Family) -> str:
    conditions = {"backbone": family.backbones, **{place: _as_list(value) for place, value in family.where.items()}}
    return " and ".join(f"{place}: {' or '.join(map(str, values))}" for place, values in conditions.items())
