"""Greedy selection with replacement by the accuracy or balanced accuracy of the soft vote, exact and fast.

Caruana et al., "Ensemble Selection from Libraries of Models", ICML 2004: in each round, add the candidate that gives
the best mean. A direct implementation adds every candidate to the running sum and computes the argmax of every sample:
rounds x candidates x samples x classes steps. This implementation makes the same picks with much less work:

1. One pass before the first round computes a `Summary`: for each candidate and sample the probability of the label,
   the most probable other class (the *rival*), and the label's lead over the rival.
2. `RunningSum` bounds the running sum for each sample: the label's sum is exact, and the best rival's sum lies between
   a floor and a ceiling. A sample is settled if no candidate can change whether its prediction is correct. After a few
   rounds most samples are settled.
3. For almost all open samples and candidates, the summary alone decides whether the prediction with the candidate
   added is correct (`bound_additions`). This gives a minimum and a maximum number of correct samples per candidate. For
   balanced accuracy, a correct sample counts the integer weight of its class (`raysearch.ensemble.weighting`).
4. Candidates are visited in descending order of the maximum, and counted exactly on their undecided samples, until no
   remaining candidate can be as good.

Bounds decide only if they differ by more than the rounding error. All other cases are counted in float64, in the order
of the picks. The picks therefore equal those of the direct implementation: by the objective, then log loss, then
position.

A small library is selected from directly, which is faster there (`raysearch.ensemble.direct_sum`). The bounds decide
little if candidates are nearly flat noise, or if many candidates have few samples. The estimated cost of all rounds so
far is therefore compared with that of direct rounds (`Budget`). Once it is higher, the remaining rounds are computed
directly. So a selection costs little more than a direct one in the worst case.
"""

from collections.abc import Sequence

import numpy as np

from raysearch.ensemble.candidates import Candidates
from raysearch.ensemble.caps import Cap, check_caps, filter_affordable, find_fitting
from raysearch.ensemble.direct_sum import MAX_BYTES, MAX_CELLS, DirectSum
from raysearch.ensemble.running_sum import RunningSum
from raysearch.ensemble.scores import Score
from raysearch.ensemble.trajectory import Selection, find_best_round, make_selection
from raysearch.ensemble.vote_gain import bound_additions

COUNT_CELLS = 15_000
"""Fixed cost of an exact count, as the number of cells that a direct round computes in that time."""
ROW_CELLS = 30
"""Fixed cost of a sample, in the same unit."""
BOUND_CELLS = 8
"""Cost of the bounds for each candidate's open sample, in the same unit."""


class Budget:
    """What the rounds with bounds may still cost, in cells of direct rounds: one round, and one for each round done.

    If the rounds with bounds have used it up, a direct selection would have been faster by one round at most. It is
    unlimited if the library is too large to copy for a direct sum.
    """

    def __init__(self, candidates: Candidates) -> None:
        rows = len(candidates) * len(candidates.labels)
        size_bytes = rows * candidates.classes * candidates.summary.lead.itemsize
        self.round = np.inf if size_bytes > MAX_BYTES else float(rows * (candidates.classes + ROW_CELLS))
        self.left = self.round
        self._row = 1.5 * (candidates.classes + ROW_CELLS)  # an exact count gathers its samples
        self._bound = BOUND_CELLS * len(candidates) + 4 * self._row

    def start_round(self, open_samples: int) -> None:
        self.left += self.round - open_samples * self._bound

    def allows_count(self, samples: int) -> bool:
        """Spend the cost of an exact count; False if the budget does not cover it."""
        self.left -= COUNT_CELLS + samples * self._row
        return self.left >= 0


def select_greedy(
    probs: Sequence[np.ndarray],
    labels: np.ndarray,
    rounds: int,
    *,
    sorted_start: int = 0,
    caps: Sequence[Cap] = (),
) -> Selection:
    """In each of ``rounds``, add the candidate that gives the best soft vote; keep the best round (the first of ties).

    ``probs`` holds float [samples, classes] for each candidate, none negative; ``labels`` is int [samples]. Candidates
    are never copied as a whole, so they may be memory-mapped; passing `Candidates` saves the pass over them. With a
    ``sorted_start`` of two or more, selection starts from the mean of the k best single candidates, with the best k up
    to ``sorted_start`` (section 2.2 of the paper). Adds only candidates that fit under all ``caps``; raises
    `StudyError` if none does.
    """
    candidates = Candidates.from_probs(probs, labels)
    check_caps(caps, len(candidates))
    total, trajectory, budget = _make_sum(candidates), list[Score](), Budget(candidates)
    if sorted_start > 1:
        total, trajectory = _sorted_start(candidates, min(sorted_start, rounds), caps)
    while len(trajectory) < rounds:
        fits = find_fitting(caps, total.picks, len(candidates))
        total, pick, score = _best_addition(total, candidates, fits, budget)
        total.add(pick)
        trajectory.append(score)
    return make_selection(total.picks, trajectory, find_best_round(trajectory), len(candidates))


def _make_sum(candidates: Candidates) -> RunningSum | DirectSum:
    """The sum that is faster for a library of this size."""
    cells = len(candidates) * len(candidates.labels) * candidates.classes
    return DirectSum(candidates) if cells <= MAX_CELLS else RunningSum(candidates)


def _sorted_start(candidates: Candidates, most: int, caps: Sequence[Cap]) -> tuple[RunningSum | DirectSum, list[Score]]:
    """The sum of the k best single candidates, with the best k up to ``most``, and the score after each of them."""
    order = filter_affordable(caps, candidates.ranking, len(candidates))[:most]
    trajectory = score_means(candidates, order)
    size = find_best_round(trajectory)
    total = _make_sum(candidates)
    for pick in order[:size]:
        total.add(pick)
    return total, trajectory[:size]


def score_means(candidates: Candidates, order: Sequence[int]) -> list[Score]:
    """The scores of the means of the first candidate, the first two, and so on."""
    total, scores = _make_sum(candidates), []
    for pick in order:
        total.add(pick)
        scores.append(total.score())
    return scores


def _best_addition(
    total: RunningSum | DirectSum, candidates: Candidates, fits: np.ndarray, budget: Budget
) -> tuple[RunningSum | DirectSum, int, Score]:
    """Among candidates with ``fits`` (bool), the one that gives the best mean with ``total``, and that mean's score.

    Returns the sum to continue with first: a direct one if the ``budget`` is used up.
    """
    if isinstance(total, RunningSum):
        if found := _find_by_bounds(total, candidates, fits, budget):
            return total, *found
        total = DirectSum(candidates, total.picks)
    return total, *total.find_best_addition(fits)


def _find_by_bounds(
    total: RunningSum, candidates: Candidates, fits: np.ndarray, budget: Budget
) -> tuple[int, Score] | None:
    """The best candidate and the score with it; None if the ``budget`` does not cover finding it."""
    additions = bound_additions(total, candidates)
    greatest = np.where(fits, additions.greatest, -1)
    budget.start_round(len(additions.samples))
    best_rank = (1, np.inf, -1)
    for candidate in map(int, np.argsort(-greatest, kind="stable")):
        if greatest[candidate] < -best_rank[0]:
            break
        undecided = additions.find_undecided(candidate)
        if not budget.allows_count(len(undecided)):
            return None
        counts = additions.count(candidate, undecided)
        right = int(candidates.weighting.weigh(counts))
        if right < -best_rank[0]:
            continue  # saves computing the log loss
        label_sum = total.label_sum + candidates.summary.label_prob[:, candidate]
        score = candidates.weighting.score_sum(counts, label_sum, len(total.picks) + 1)
        if (rank := (-right, score.log_loss, candidate)) < best_rank:
            best_rank, best_score = rank, score
    return best_rank[2], best_score
