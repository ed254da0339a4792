"""Bagged ensemble selection: the mean of greedy selections from random subsets of the library, which overfits less.

Caruana, Munson and Niculescu-Mizil, "Getting the Most Out of Ensemble Selection", ICDM 2006, section 3.3.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from raysearch.ensemble.candidates import Candidates
from raysearch.ensemble.caps import Cap, check_caps, filter_affordable, find_fitting
from raysearch.ensemble.greedy_vote import select_greedy
from raysearch.ensemble.trajectory import Selection

Select = Callable[..., Selection]
"""(probs, labels, caps=...) -> Selection"""


def select_bagged(
    probs: Sequence[np.ndarray],
    labels: np.ndarray,
    rounds: int,
    *,
    bags: int,
    share: float,
    rng: np.random.Generator,
    sorted_start: int = 0,
    caps: Sequence[Cap] = (),
) -> Selection:
    """Select greedily from each of ``bags`` random subsets of the library, and average the weights.

    A bag holds a ``share`` (above 0, at most 1) of the candidates that fit under the ``caps``, drawn without
    replacement, and at least one candidate. Each bag's selection respects the caps. If the union of all bags exceeds
    them, the candidates are reduced to those of the greatest weight that fit, and the selection is repeated. Other
    arguments as in `select_greedy`. Picks and trajectory have one entry per bag.
    """
    candidates = Candidates.from_probs(probs, labels)
    check_caps(caps, len(candidates))
    fits = find_fitting(caps, [], len(candidates))

    def select(library: np.ndarray, caps: Sequence[Cap]) -> Selection:
        selections = [
            _select_bag(candidates, bag, partial(select_greedy, rounds=rounds, sorted_start=sorted_start), caps)
            for bag in draw_bags(library, bags, share, rng)
        ]
        best_single = next(candidate for candidate in candidates.ranking if fits[candidate])
        return _average(selections, best_single)

    selection = select(np.flatnonzero(fits), caps)
    members = np.argsort(-selection.weights, kind="stable")[: np.count_nonzero(selection.weights)]
    kept = filter_affordable(caps, members.tolist(), len(candidates))
    # All kept candidates fit together, so the second selection needs no caps.
    return selection if len(kept) == len(members) else select(np.sort(kept), ())


def draw_bags(library: np.ndarray, bags: int, share: float, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Random subsets of ``library`` (int), each sorted and with at least one candidate."""
    size = max(1, round(share * len(library)))
    for _ in range(bags):
        yield np.sort(rng.choice(library, size, replace=False))


def _select_bag(candidates: Candidates, bag: np.ndarray, select: Select, caps: Sequence[Cap]) -> Selection:
    """Select from the bag; picks and weights refer to the whole library."""
    subset = candidates.only(bag)
    selection = select(subset, subset.labels, caps=[cap.restrict(bag) for cap in caps])
    weights = np.zeros(len(candidates))
    weights[bag] = selection.weights
    picks = tuple(bag[list(selection.picks)].tolist())
    return replace(selection, picks=picks, weights=weights, best_single=picks[0])


def _average(bags: Sequence[Selection], best_single: int) -> Selection:
    return Selection(
        picks=tuple(bag.best_single for bag in bags),
        trajectory=tuple(bag.trajectory[bag.best_round - 1] for bag in bags),
        best_round=len(bags),
        weights=np.mean([bag.weights for bag in bags], axis=0),
        best_single=best_single,
    )
