"""The layout of a fit as text: what will be trained, for how long, and when it will be done."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from raysearch.data.measuring import SourceFacts
from raysearch.fit.layout import Division, Facts, Round, Times
from raysearch.space import Space
from raysearch.tune.planning.units import format_duration


def format_plan(
    space: Space,
    source: SourceFacts,
    facts: Facts,
    times: Times,
    division: Division,
    rounds: Sequence[Round],
    spent_s: float,
) -> list[str]:
    """Lines for people. ``spent_s``: seconds of the budget that are spent."""
    trial, low, high = space.resolved["trial"], min(source.per_class), max(source.per_class)
    per_class = f"{low}" if low == high else f"{low} to {high}"
    lines = [
        f"data     {source.images} labelled images, {len(source.classes)} classes of {per_class}; "
        f"trained at {trial['image_size']} px",
        f"network  {trial['backbone']}, {1000 * times.image:.2g} ms for an image in a training pass; "
        f"{_count(facts.slots, 'training')} at once",
        f"labels   {_describe_division(division, facts)}",
    ]
    now, at = datetime.now(), 0.0
    for number, each in enumerate(rounds, start=1):
        at += each.seconds
        networks = each.trials * division.trainings
        label = "first, for an early set" if each.is_quick else f"round {number}"
        what = f"{_count(each.trials, 'setting')}, {_count(networks, 'network')} of {_count(each.epochs, 'epoch')}"
        duration = format_duration(each.seconds / 3600)
        lines.append(f"{now + timedelta(seconds=at):%H:%M}    {label}: {what}, {duration}")
    end = now + timedelta(seconds=max(at, 0.0))
    lines.append(
        f"done     about {end:%H:%M}, at the latest {now + timedelta(seconds=facts.budget_s - spent_s):%H:%M} "
        f"({facts.budget_s / 60:g} minutes)"
    )
    return lines


def _describe_division(division: Division, facts: Facts) -> str:
    if division.folds:
        scored = facts.images * division.trainings // division.folds
        which = f"{scored} of the images are" if division.folds_trained else "every image is"
        return (
            f"{division.folds} folds: each network learns from {division.count_train(facts)} images and leaves out "
            f"others; {which} predicted by a network that has not learned from it"
        )
    held_out = facts.images - division.count_train(facts)
    return (
        f"each network learns from {division.count_train(facts)} images; the accuracy is measured on {held_out} others"
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
