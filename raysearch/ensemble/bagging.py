"""Greedy selection from random parts of the library, averaged, which over-fits less.

Caruana, Munson and Niculescu-Mizil, "Getting the Most Out of Ensemble Selection", ICDM 2006, section 3.3.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from raysearch.ensemble.candidates import Candidates
from raysearch.ensemble.caps import Cap, affordable, check_caps, fitting
from raysearch.ensemble.greedy_vote import greedy
from raysearch.ensemble.trajectory import Selection

Select = Callable[..., Selection]
"""(probs, labels, caps=...) -> Selection"""


def bagged(
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
    """Select greedily from each of ``bags`` random parts of the library, and average the weights.

    A part is a ``share``, above 0 and at most 1, of the candidates, drawn without replacement from those that fit
    under the ``caps``; never empty. Each bag keeps to the caps. Where all bags together do not, selection is repeated
    from the candidates of most weight that do. Other arguments as in `greedy`; picks and trajectory have one entry a
    bag.
    """
    candidates = Candidates.of(probs, labels)
    check_caps(caps, len(candidates))
    fits = fitting(caps, [], len(candidates))

    def select(library: np.ndarray, caps: Sequence[Cap]) -> Selection:
        chosen = [
            _select_bag(candidates, bag, partial(greedy, rounds=rounds, sorted_start=sorted_start), caps)
            for bag in draw_bags(library, bags, share, rng)
        ]
        best_single = next(candidate for candidate in candidates.ranking if fits[candidate])
        return _average(chosen, best_single)

    selection = select(np.flatnonzero(fits), caps)
    members = np.argsort(-selection.weights, kind="stable")[: np.count_nonzero(selection.weights)]
    kept = affordable(caps, members.tolist(), len(candidates))
    return selection if len(kept) == len(members) else select(np.sort(kept), ())


def draw_bags(library: np.ndarray, bags: int, share: float, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Random parts of ``library`` (int), each in order and at least of one candidate."""
    size = max(1, round(share * len(library)))
    for _ in range(bags):
        yield np.sort(rng.choice(library, size, replace=False))


def _select_bag(candidates: Candidates, bag: np.ndarray, select: Select, caps: Sequence[Cap]) -> Selection:
    """Selected from the bag, but with picks and weights of the whole library."""
    part = candidates.only(bag)
    selection = select(part, part.labels, caps=[cap.of(bag) for cap in caps])
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
