"""Runs the rounds of a fit until its time is spent. What a round does, and the clock, are given: tests have others."""

from collections.abc import Callable, Sequence
from typing import Protocol

from raysearch.fit.layout import Division, Facts, Round, Times, lay_out

NOTABLE = 1.3
"""A change of the measured times by this factor is announced."""


class Work(Protocol):
    """Does what the driver has decided."""

    @property
    def done(self) -> Sequence[int]:
        """For each ended trial, the images that one of its networks has seen in training."""

    @property
    def is_exported(self) -> bool:
        """Whether the set has been made of all ended trials."""

    def run_round(self, round_: Round, time_left_s: float) -> Times | None:
        """Train the round's trials within ``time_left_s``. Returns the measured times; None if it was stopped."""

    def finish(self) -> None:
        """Select an ensemble of all trials so far, export and verify it, and write the report."""

    def refit(self, times: Times, time_left_s: float) -> bool:
        """Train the members again on all labels, and export them. False if it was stopped."""


def drive(
    work: Work,
    facts: Facts,
    times: Times,
    division: Division,
    spent_s: Callable[[], float],
    say: Callable[[str], None],
) -> bool:
    """Run rounds until no training fits into the rest of the budget. False if a round was stopped.

    ``spent_s`` returns the seconds of the budget that are spent.
    """
    if not work.is_exported:
        work.finish()
    while rounds := lay_out(facts, times, division, facts.budget_s - spent_s(), work.done):
        this = rounds[0]
        began = spent_s()
        measured = work.run_round(this, facts.budget_s - began - times.finish)
        if measured is None and not work.done:
            return False
        trained = spent_s()
        work.finish()
        if measured is None:
            return False
        finish_s = spent_s() - trained
        slower = measured.image / times.image
        if not 1 / NOTABLE < slower < NOTABLE:
            word = f"{slower:.1f} times slower" if slower > 1 else f"{1 / slower:.1f} times faster"
            say(f"training is {word} than expected: the rest of the time is laid out anew")
        times = Times(measured.image, measured.start, max(finish_s, times.finish / 2))
    return not division.has_refit or work.refit(times, facts.budget_s - spent_s() - times.finish)
