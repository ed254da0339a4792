"""Optuna's samplers, with settings for searches of a few dozen trials."""

import warnings
from collections.abc import Callable

import optuna
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, QMCSampler, RandomSampler, TPESampler

from raysearch.space import SearchConfig

STARTUP_TRIALS = 5
"""Trials drawn at random before the sampler uses its model. Optuna's default of 10 is too many for a small search."""

# If options of a choice have parameters of their own, only TPE models all parameters. The other samplers model those
# that every trial has and draw the rest at random. They would log a warning for every trial, so the warning is off.
SAMPLERS: dict[str, Callable[[int], BaseSampler]] = {
    # group: model the parameters of different options separately. constant_liar: take running trials into account.
    "tpe": lambda seed: TPESampler(
        seed=seed, n_startup_trials=STARTUP_TRIALS, multivariate=True, group=True, constant_liar=True
    ),
    "gp": lambda seed: GPSampler(seed=seed, n_startup_trials=STARTUP_TRIALS, warn_independent_sampling=False),
    "cmaes": lambda seed: CmaEsSampler(seed=seed, n_startup_trials=STARTUP_TRIALS, warn_independent_sampling=False),
    "random": lambda seed: RandomSampler(seed=seed),
    "qmc": lambda seed: QMCSampler(
        seed=seed, scramble=True, warn_independent_sampling=False, warn_asynchronous_seeding=False
    ),
}


def build_sampler(search: SearchConfig, trials_before: int) -> BaseSampler:
    """Make the sampler. ``trials_before``: trials in the study; it changes the seed, so that a resumed search does not
    draw the same trials again."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        # QMC finds its place in its sequence by the study's trials, and needs the same seed for that.
        return SAMPLERS[search.sampler](search.seed + (0 if search.sampler == "qmc" else trials_before))
