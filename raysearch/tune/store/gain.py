"""The ensemble of the ended trials while the search runs, and what one trial adds to it."""

from collections.abc import Sequence

import numpy as np

from raysearch.ensemble.estimate import cross_fit
from raysearch.ensemble.library import load_library
from raysearch.ensemble.recipe import Recipe
from raysearch.ensemble.selection import Candidates, Score, score, select_greedy, weighted_mean
from raysearch.paths import StudyPaths
from raysearch.predictions import Predictions
from raysearch.tune.listener import EnsembleNow

ROUNDS = 20
"""Rounds of greedy selection: fewer than `raysearch.ensemble` takes, because this only previews its result."""


def compute_gain(paths: StudyPaths, number: int) -> float:
    """The ensemble gain of trial ``number``, in nats: how much it lowers the log loss of the greedy ensemble.

    Compares the ensembles of the ended trials without it and with it. If there is no other trial, the ensemble without
    it is a uniform guess. The trial must have ended. Raises `UserError` if the trials' predictions do not match.
    """
    library = load_library(paths)
    others = [candidate for candidate in library.candidates if candidate.trial_number != number]
    uniform_guess = np.log(len(library.classes))
    without = score_ensemble(others, library.labels).log_loss if others else uniform_guess
    return float(without - score_ensemble(library.candidates, library.labels).log_loss)


def score_ensemble(candidates: Sequence[Predictions], labels: np.ndarray) -> Score:
    """In-sample score of the greedy ensemble. ``candidates`` must not be empty."""
    probs = [candidate.probs for candidate in candidates]
    return score(weighted_mean(probs, select_greedy(probs, labels, ROUNDS).weights), labels)


def estimate_ensemble(paths: StudyPaths) -> EnsembleNow:
    """Estimate the greedy ensemble of the ended trials by one cross-fit. Raises `UserError` if no trial has ended."""
    library = load_library(paths)
    candidates = Candidates.from_probs(library.probs, library.labels, library.objective)
    rng = np.random.default_rng(0)
    crossed = cross_fit(candidates, {"ensemble": _select_weights}, folds=Recipe().folds, repeats=1, rng=rng)
    cross_fitted = crossed.outcomes["ensemble"].score
    members = int(np.count_nonzero(_select_weights(candidates)))
    return EnsembleNow(members, cross_fitted.accuracy, cross_fitted.log_loss, cross_fitted.balanced_accuracy)


def _select_weights(candidates: Candidates) -> np.ndarray:
    return select_greedy(candidates, candidates.labels, ROUNDS).weights
