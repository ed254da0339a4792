"""Which candidates, how often: greedy, bagged, and the plain mean of the best few; what these share is found here.

Candidates are ranked by accuracy, then log loss, then position. Sums are float64, so picks are the same on every
machine.
"""

from collections.abc import Sequence

import numpy as np

from raysearch.ensemble.bagging import bagged
from raysearch.ensemble.candidates import Candidates
from raysearch.ensemble.caps import Cap, affordable, check_caps
from raysearch.ensemble.greedy_vote import greedy, scores_of_means
from raysearch.ensemble.refine import refined
from raysearch.ensemble.scores import PROBABILITY_FLOOR, Score, is_correct, log_losses, score, weighted_mean
from raysearch.ensemble.trajectory import Selection, selection_of

__all__ = [
    "PROBABILITY_FLOOR",
    "Candidates",
    "Cap",
    "Score",
    "Selection",
    "bagged",
    "greedy",
    "is_correct",
    "log_losses",
    "refined",
    "score",
    "uniform",
    "weighted_mean",
]


def uniform(probs: Sequence[np.ndarray], labels: np.ndarray, best_n: int, *, caps: Sequence[Cap] = ()) -> Selection:
    """The plain mean of the ``best_n`` candidates (of all, if there are fewer); arguments as in `greedy`.

    Candidates that do not fit under the ``caps`` beside better ones are passed over.
    """
    candidates = Candidates.of(probs, labels)
    check_caps(caps, len(candidates))
    picks = affordable(caps, candidates.ranking, len(candidates))[:best_n]
    return selection_of(picks, scores_of_means(candidates, picks), len(picks), len(candidates))
