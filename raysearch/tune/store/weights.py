"""Keeps a study's checkpoints within `search.checkpoints_gb`: the weights most valuable to the ensemble stay."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from raysearch.ensemble.library import load_library
from raysearch.ensemble.selection import Candidates, select_greedy
from raysearch.errors import UserError
from raysearch.io import read_json, write_json
from raysearch.paths import StudyPaths, view_parts
from raysearch.predictions import Predictions

ROUNDS = 50
"""Rounds of the greedy selection that orders the weights"""
Weights = tuple[int, str]
"""A trial's number and a role, `student` or `teacher`"""


def drop_weights(paths: StudyPaths, budget_bytes: float) -> Iterator[str]:
    """Remove weights of ended trials, the least valuable first, until all checkpoints fit ``budget_bytes``.

    Yields the name of what was removed. Checkpoints of running trials count but stay. Predictions always stay.
    """
    total = sum(_count_bytes(training.checkpoints) for _, trial in paths.trials() for training in trial.trainings)
    if total <= budget_bytes:
        return
    for number, role in reversed([*rank_weights(paths), *_list_failed(paths)]):
        weights = [path for training in paths.trial(number).trainings if (path := training.weights(role)).is_file()]
        if total <= budget_bytes or not weights:
            continue
        total -= sum(path.stat().st_size for path in weights)
        result = read_json(paths.trial(number).result)
        # The result first: after a kill between the two, it may list weights that still exist, but it never lacks
        # weights that are gone.
        write_json(paths.trial(number).result, {**result, "dropped": [*result.get("dropped", []), role]})
        for path in weights:
            path.unlink()
        yield f"the weights of trial {number}'s {role}"


def rank_weights(paths: StudyPaths) -> list[Weights]:
    """The ended trials' weights, the most valuable to the ensemble first.

    First those that the greedy selection picks, in its order; then the others by their own score. Empty if the
    predictions cannot be read together, so that nothing is removed then.
    """
    try:
        library = load_library(paths)
    except UserError:
        return []
    candidates = Candidates.from_probs(library.probs, library.labels, library.objective)
    picks = select_greedy(candidates, candidates.labels, ROUNDS).picks
    return list(dict.fromkeys(_list_weights(library.candidates, [*picks, *candidates.ranking])))


def _list_failed(paths: StudyPaths) -> Iterator[Weights]:
    """The weights of failed trials, which no ensemble can use."""
    for number, folder in paths.trials():
        if folder.result.is_file() and read_json(folder.result)["state"] == "FAIL":
            yield number, "student"
            yield number, "teacher"


def _list_weights(candidates: Sequence[Predictions], order: Sequence[int]) -> Iterator[Weights]:
    for index in order:
        yield candidates[index].trial_number, view_parts(candidates[index].view).role


def _count_bytes(folder: Path) -> int:
    """Bytes of the files in ``folder``, without subfolders; 0 if there is no such folder."""
    return sum(path.stat().st_size for path in folder.glob("*") if path.is_file())
