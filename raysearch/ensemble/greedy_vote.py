"""Greedy selection with replacement by soft-vote accuracy, exact and fast.

Caruana et al., "Ensemble Selection from Libraries of Models", ICML 2004: again and again add the candidate that makes
the best mean. Written down plainly, a round adds every candidate to the running sum and takes the argmax of every
sample: rounds x candidates x samples x classes steps. Here a round does little, and finds the same:

1. One pass before the first round keeps a `Summary`: for each candidate and sample the probability of the label, and
   the most probable other class, the *rival*, with the label's lead over it.
2. The running sum is bounded for each sample: the label's sum is exact, that of the best rival lies between a floor
   and a ceiling (`RunningSum`). A sample whose label is further ahead, or behind, than any candidate can change is
   settled: right or wrong, whatever is added. After a few rounds most are.
3. For each open sample and each candidate the summary alone tells nearly always whether the vote with the candidate
   is right (`bound_additions`). So each candidate has a least and a greatest number of right samples.
4. Candidates are counted in full, on their undecided samples only, from the greatest possible number down, until none
   that is left can be as good.

Bounds decide only where they differ by more than all rounding; the rest is counted in float64, in the order of the
picks. So picks are those of the plain way: by accuracy, then log loss, then the earlier candidate.
"""

from collections.abc import Sequence

import numpy as np

from raysearch.ensemble.candidates import Candidates
from raysearch.ensemble.caps import Cap, affordable, check_caps, fitting
from raysearch.ensemble.running_sum import RunningSum
from raysearch.ensemble.scores import Score, score_of_sum
from raysearch.ensemble.trajectory import Selection, best_round, selection_of
from raysearch.ensemble.vote_gain import bound_additions


def greedy(
    probs: Sequence[np.ndarray],
    labels: np.ndarray,
    rounds: int,
    *,
    sorted_start: int = 0,
    caps: Sequence[Cap] = (),
) -> Selection:
    """Add, ``rounds`` times, the candidate that makes the best soft vote; keep the best round (the first of ties).

    ``probs`` holds float [samples, classes] a candidate, none negative, and ``labels`` int [samples]. Candidates are
    never copied as a whole, so they may be memory-mapped; `Candidates` spare the pass over them. With a
    ``sorted_start`` of two or more, the first rounds add the best single candidates in their order, up to that many
    and as many as make the best mean (section 2.2 of the paper). Only candidates that fit under all ``caps`` are
    added; raises `StudyError` where none does.
    """
    candidates = Candidates.of(probs, labels)
    check_caps(caps, len(candidates))
    total, trajectory = RunningSum(candidates), list[Score]()
    if sorted_start > 1:
        total, trajectory = _sorted_start(candidates, min(sorted_start, rounds), caps)
    while len(trajectory) < rounds:
        pick, score = _best_addition(total, candidates, fitting(caps, total.picks, len(candidates)))
        total.add(pick)
        trajectory.append(score)
    return selection_of(total.picks, trajectory, best_round(trajectory), len(candidates))


def _sorted_start(candidates: Candidates, most: int, caps: Sequence[Cap]) -> tuple[RunningSum, list[Score]]:
    """The sum of as many of the best single candidates, up to ``most``, as make the best mean; the score of each."""
    order = affordable(caps, candidates.ranking, len(candidates))[:most]
    trajectory = scores_of_means(candidates, order)
    size = best_round(trajectory)
    total = RunningSum(candidates)
    for pick in order[:size]:
        total.add(pick)
    return total, trajectory[:size]


def scores_of_means(candidates: Candidates, order: Sequence[int]) -> list[Score]:
    """The score of the mean of the first, of the first two, and so on."""
    total, scores = RunningSum(candidates), []
    for pick in order:
        total.add(pick)
        scores.append(total.score())
    return scores


def _best_addition(total: RunningSum, candidates: Candidates, fits: np.ndarray) -> tuple[int, Score]:
    """Of the candidates that ``fits`` (bool) names, the one that makes the best mean together with ``total``."""
    additions = bound_additions(total, candidates)
    greatest = np.where(fits, additions.greatest, -1)
    best_rank = (1, np.inf, -1)
    for candidate in map(int, np.argsort(-greatest, kind="stable")):
        if greatest[candidate] < -best_rank[0]:
            break
        right = additions.count(candidate)
        if right < -best_rank[0]:
            continue  # which spares the log loss
        label_sum = total.label_sum + candidates.summary.label_prob[:, candidate]
        score = score_of_sum(right, label_sum, len(total.picks) + 1)
        if (rank := (-right, score.log_loss, candidate)) < best_rank:
            best_rank, best_score = rank, score
    return best_rank[2], best_score
