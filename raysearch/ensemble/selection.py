"""Selection functions: greedy, bagged, and the plain mean of the best candidates. Re-exports what they share.

Candidates are ranked by the objective, then log loss, then position. Sums are float64, so picks are the same on every
machine.
"""

from collections.abc import Sequence

import numpy as np

from raysearch.ensemble.bagging import select_bagged
from raysearch.ensemble.candidates import Candidates
from raysearch.ensemble.caps import Cap, check_caps, filter_affordable
from raysearch.ensemble.greedy_vote import score_means, select_greedy
from raysearch.ensemble.refine import refine_weights
from raysearch.ensemble.scores import PROBABILITY_FLOOR, Score, is_correct, log_losses, weighted_mean
from raysearch.ensemble.trajectory import Selection, make_selection
from raysearch.ensemble.weighting import SelectionObjective, score

__all__ = [
    "PROBABILITY_FLOOR",
    "Candidates",
    "Cap",
    "Score",
    "Selection",
    "SelectionObjective",
    "is_correct",
    "log_losses",
    "refine_weights",
    "score",
    "select_bagged",
    "select_greedy",
    "select_uniform",
    "weighted_mean",
]


def select_uniform(
    probs: Sequence[np.ndarray], labels: np.ndarray, best_n: int, *, caps: Sequence[Cap] = ()
) -> Selection:
    """The plain mean of the ``best_n`` candidates (of all, if there are fewer); arguments as in `select_greedy`.

    Skips candidates that do not fit under the ``caps`` together with better ones.
    """
    candidates = Candidates.from_probs(probs, labels)
    check_caps(caps, len(candidates))
    picks = filter_affordable(caps, candidates.ranking, len(candidates))[:best_n]
    return make_selection(picks, score_means(candidates, picks), len(picks), len(candidates))
