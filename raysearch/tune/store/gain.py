"""What the trials are worth together while the search goes on."""

from collections.abc import Sequence

import numpy as np

from raysearch.ensemble.estimate import cross_fit
from raysearch.ensemble.library import load_library
from raysearch.ensemble.recipe import Recipe
from raysearch.ensemble.selection import Candidates, Score, greedy, score, weighted_mean
from raysearch.paths import StudyPaths
from raysearch.predictions import Predictions
from raysearch.tune.listener import EnsembleNow

ROUNDS = 20
"""Picks of the selections made here: enough for a look."""


def gain_of(paths: StudyPaths, number: int) -> float:
    """Log loss of the greedy ensemble of the finished trials less that of the ensemble with trial ``number``, in nats.

    Without any other trial, a guess among the classes stands for the ensemble. The trial must have ended. Raises
    `UserError` where predictions do not belong together.
    """
    library = load_library(paths)
    others = [candidate for candidate in library.candidates if candidate.trial_number != number]
    guess = np.log(len(library.classes))
    without = ensemble_score(others, library.labels).log_loss if others else guess
    return float(without - ensemble_score(library.candidates, library.labels).log_loss)


def ensemble_score(candidates: Sequence[Predictions], labels: np.ndarray) -> Score:
    """In-sample score of the greedy ensemble of at least one candidate."""
    probs = [candidate.probs for candidate in candidates]
    return score(weighted_mean(probs, greedy(probs, labels, ROUNDS).weights), labels)


def estimate(paths: StudyPaths) -> EnsembleNow:
    """The greedy ensemble of the ended trials, cross-fitted once."""
    library = load_library(paths)
    candidates = Candidates.of(library.probs, library.labels)
    rng = np.random.default_rng(0)
    crossed = cross_fit(candidates, {"ensemble": _weights}, folds=Recipe().folds, repeats=1, rng=rng)
    found = crossed.outcomes["ensemble"].score
    return EnsembleNow(int(np.count_nonzero(_weights(candidates))), found.accuracy, found.log_loss)


def _weights(candidates: Candidates) -> np.ndarray:
    return greedy(candidates, candidates.labels, ROUNDS).weights
