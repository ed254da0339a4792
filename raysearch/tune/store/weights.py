"""Weights within a study's budget: those of most value to the ensemble stay."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from raysearch.ensemble.library import load_library
from raysearch.ensemble.selection import greedy, score
from raysearch.errors import UserError
from raysearch.io import read_json, write_json
from raysearch.paths import StudyPaths, view_parts
from raysearch.predictions import Predictions

ROUNDS = 50
Weights = tuple[int, str]
"""A trial's number, and whose weights: `student` or `teacher`"""


def drop_weights(paths: StudyPaths, budget_bytes: float) -> Iterator[str]:
    """Remove weights of ended trials, the least valuable first, until all checkpoints are within the budget.

    Yields what was removed. Checkpoints of trials that still train count, but stay; predictions always stay.
    """
    total = sum(_size(training.checkpoints) for _, trial in paths.trials() for training in trial.trainings)
    if total <= budget_bytes:
        return
    for number, role in reversed([*by_value(paths), *_of_failed(paths)]):
        weights = [path for training in paths.trial(number).trainings if (path := training.weights(role)).is_file()]
        if total <= budget_bytes or not weights:
            continue
        total -= sum(path.stat().st_size for path in weights)
        result = read_json(paths.trial(number).result)
        # The word first: a result may say that weights are gone which a kill has left, not the other way round.
        write_json(paths.trial(number).result, {**result, "dropped": [*result.get("dropped", []), role]})
        for path in weights:
            path.unlink()
        yield f"the weights of trial {number}'s {role}"


def by_value(paths: StudyPaths) -> list[Weights]:
    """The ended trials' weights, the most valuable to the ensemble first.

    In the order in which the greedy selection picks them; those it never picks follow by their own accuracy and log
    loss. Without a sound library there is no order, and nothing to remove.
    """
    try:
        library = load_library(paths)
    except UserError:
        return []
    picks = greedy(library.probs, library.labels, ROUNDS).picks
    ranks = [score(probs, library.labels).rank for probs in library.probs]
    others = sorted(range(len(ranks)), key=ranks.__getitem__, reverse=True)
    return list(dict.fromkeys(_weights_of(library.candidates, [*picks, *others])))


def _of_failed(paths: StudyPaths) -> Iterator[Weights]:
    """The weights of trials that failed: no ensemble's member has them."""
    for number, folder in paths.trials():
        if folder.result.is_file() and read_json(folder.result)["state"] == "FAIL":
            yield number, "student"
            yield number, "teacher"


def _weights_of(candidates: Sequence[Predictions], order: Sequence[int]) -> Iterator[Weights]:
    for index in order:
        yield candidates[index].trial_number, view_parts(candidates[index].view).role


def _size(folder: Path) -> int:
    """Bytes of the files right in ``folder``, which may not be there."""
    return sum(path.stat().st_size for path in folder.glob("*") if path.is_file())
