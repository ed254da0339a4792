"""Lays out the time of a fit: how the labels are divided, how many trainings there are, and how long they are.

Everything here is arithmetic on measured times. A trial is one setting; its trainings are one network per fold, or a
single network. Trials run in rounds. After every round the rest of the time is laid out anew, with the times that were
measured, and the set of the best networks so far is exported.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Literal

FULL_PASSES = 180_000
"""Images that a network sees in training before the time is better spent on another network (docs/results.md)."""
USUAL_FOLDS, FOLDS_OF_MANY = 6, 8
"""Folds, and folds if as many trainings, or half as many, run at once."""
LEAST_TRAINED = 2
"""Networks of a trial, at least: every label must teach one of them."""
FOLDS_UP_TO = 4000
"""Labelled images up to which there are folds. With more, one held-out part is large enough for an honest figure."""
HELD_OUT_IMAGES = 1000
"""Images in the held-out part if there are no folds."""
MOST_TRIALS = 24
"""Trials after which a fit ends, also if time is left."""
WORTHWHILE = 0.5
"""A trial is not begun if its networks would see less than this share of the images that the longest one has seen."""
SLACK = 0.04
"""Share of a training's time limit that the planned epochs leave free: machines are not equally fast all the time."""
QUICK_SHARE, QUICK_LIMIT_S = 0.05, 20.0
"""Share of the budget for the first round, which is short, so that there is a set early. It is left out if one of its
trainings would take less than this number of seconds."""
ROUND_SHARE = 0.15
"""Share of the budget that a round takes at least, except the first one."""
REFIT_SHARE = 0.6
"""Share of the budget for the trainings on all labels, if there is a refit."""

Kind = Literal["folds", "refit", "split"]
"""How the labels are used. `folds`: each network leaves out another part. `refit`: the members are trained again on all
labels. `split`: all networks leave out the same part."""


@dataclass(frozen=True)
class Facts:
    """The data and the machine, as far as the layout depends on them."""

    images: int
    """Labelled images, train and held-out together"""
    classes: int
    smallest_class: int
    """Labelled images of the smallest class"""
    slots: int
    """Trainings at once"""
    budget_s: float


@dataclass(frozen=True)
class Times:
    """Measured times, in seconds."""

    image: float
    """One image in one training pass, with all slots busy"""
    start: float
    """A training besides its passes: its process, its data, its evaluation"""
    finish: float
    """Selection, export, verification and report"""


@dataclass(frozen=True)
class Division:
    """How the labelled images are divided into those that a network learns from and those that it is scored on."""

    folds: int | None = None
    """A trial trains one network per fold. Together they are scored on every label"""
    folds_trained: int | None = None
    """The time suffices for the networks of so many folds only; None: all folds"""
    held_out_per_class: int = 0
    """Without folds: held-out images of each class; all networks of the search learn from the others"""
    has_refit: bool = False
    """Whether the members are trained again on all labels at the end"""

    @property
    def trainings(self) -> int:
        """Trainings of a trial."""
        return self.folds_trained or self.folds or 1

    def count_train(self, facts: Facts) -> int:
        """Images that a network learns from."""
        if self.folds:
            return facts.images * (self.folds - 1) // self.folds
        return facts.images - self.held_out_per_class * facts.classes


@dataclass(frozen=True)
class Round:
    """Trials that run together, each with the same number of epochs."""

    trials: int
    epochs: int
    time_limit_s: float
    """Of each training"""
    seconds: float
    """Expected duration, with the export of its set"""
    is_quick: bool = False
    """Whether it is the short first round"""


def divide(facts: Facts, times: Times, kind: Kind | None = None) -> Division:
    """Divide the labelled images. ``kind`` None: folds, or one held-out part if there are many images.

    As many folds are trained as the time suffices for, each with `FULL_PASSES`.
    """
    if kind == "refit":
        return Division(held_out_per_class=max(1, facts.smallest_class // 4), has_refit=True)
    if kind == "split" or (kind is None and facts.images > FOLDS_UP_TO):
        most = max(1, facts.smallest_class // 5)
        return Division(held_out_per_class=min(most, ceil(HELD_OUT_IMAGES / facts.classes)))
    folds = FOLDS_OF_MANY if facts.slots in (FOLDS_OF_MANY // 2, FOLDS_OF_MANY - 1, FOLDS_OF_MANY) else USUAL_FOLDS
    folds = max(LEAST_TRAINED, min(folds, facts.smallest_class))
    passes = (facts.budget_s - times.finish) / times.image
    trained = [n for n in range(LEAST_TRAINED, folds + 1) if passes / ceil(n / facts.slots) >= FULL_PASSES]
    # Fewer networks that are trained for longer are better. Without time for two whole ones: one for each slot.
    number = trained[-1] if trained else max(LEAST_TRAINED, min(folds, facts.slots))
    return Division(folds=folds, folds_trained=None if number == folds else number)


def lay_out(facts: Facts, times: Times, division: Division, left_s: float, done: Sequence[int]) -> list[Round]:
    """The rounds that fit into ``left_s`` seconds; empty if no training is worth its time or can end in time.

    If there is a refit, its share of the budget is left for it.
    ``done``: for each ended trial, the images that one of its networks has seen.
    """
    left_s -= REFIT_SHARE * facts.budget_s if division.has_refit else 0.0
    rounds = []
    if not done and (quick := _quick_round(facts, times, division)):
        rounds.append(quick)
        left_s -= quick.seconds
    most = MOST_TRIALS - len(done) - len(rounds)
    plans = [_main_rounds(facts, times, division, left_s, trials) for trials in range(1, most + 1)]
    passes = [plan[0].epochs * division.count_train(facts) if plan else 0 for plan in plans]
    least = max(1, WORTHWHILE * max(done, default=0))
    possible = [plan for plan, seen in zip(plans, passes, strict=True) if seen >= least]
    full = [plan for plan, seen in zip(plans, passes, strict=True) if seen >= max(least, FULL_PASSES)]
    # The most trials with whole trainings. Without time for one: the fewest that keep all slots busy.
    filling = [plan for plan in possible if sum(r.trials for r in plan) * division.trainings >= facts.slots]
    chosen = full[-1] if full else (filling or possible or [[]])[0]
    return [*rounds, *chosen]


def _quick_round(facts: Facts, times: Times, division: Division) -> Round | None:
    """One trial in a small share of the budget; None if the budget is too small for it."""
    waves = _waves(1, division, facts)
    limit_s = (QUICK_SHARE * facts.budget_s - waves * times.start) / waves
    if limit_s < QUICK_LIMIT_S:
        return None
    quick = _make_round(1, limit_s, facts, times, division)
    return replace(quick, is_quick=True) if quick else None


def _main_rounds(facts: Facts, times: Times, division: Division, left_s: float, trials: int) -> list[Round]:
    """``trials`` trials in rounds of equal trainings that use up the time; empty if a training has no epoch."""
    number = max(1, min(_waves(trials, division, facts), trials, int(left_s / (ROUND_SHARE * facts.budget_s))))
    sizes = [trials // number + (index < trials % number) for index in range(number)]
    waves = sum(_waves(size, division, facts) for size in sizes)
    limit_s = (left_s - number * times.finish - waves * times.start) / waves
    rounds = [_make_round(size, limit_s, facts, times, division) for size in sizes]
    return [each for each in rounds if each] if all(rounds) else []


def _make_round(trials: int, limit_s: float, facts: Facts, times: Times, division: Division) -> Round | None:
    """Trials of as many epochs as fit into ``limit_s``; None if not even one does."""
    epochs = int((1 - SLACK) * limit_s / (times.image * division.count_train(facts)))
    if epochs < 1:
        return None
    seconds = _waves(trials, division, facts) * (limit_s + times.start) + times.finish
    return Round(trials, epochs, limit_s, seconds)


def _waves(trials: int, division: Division, facts: Facts) -> int:
    """How many trainings each slot runs, one after the other."""
    return ceil(trials * division.trainings / facts.slots)


def least_budget_s(facts: Facts, times: Times, division: Division, spent_s: float) -> float:
    """The smallest budget in which one trial of one epoch ends, with the ``spent_s`` seconds before it."""
    epoch_s = times.image * division.count_train(facts) / (1 - SLACK)
    search_s = times.finish + _waves(1, division, facts) * (times.start + epoch_s)
    return spent_s + search_s / (1 - REFIT_SHARE if division.has_refit else 1)
