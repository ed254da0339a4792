"""Optuna's samplers, with the settings that searches of some dozens of trials want."""

import warnings
from collections.abc import Callable

import optuna
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, QMCSampler, RandomSampler, TPESampler

from raysearch.space import SearchConfig

STARTUP_TRIALS = 5
"""Trials drawn at random before anything is modelled; Optuna's 10 would use up a small search."""

# Of a space with options that bring parameters of their own, all but TPE model what every trial has, and draw the rest
# at random, which they would warn of at every trial.
SAMPLERS: dict[str, Callable[[int], BaseSampler]] = {
    # group: parameters of different options are modelled apart; constant_liar: running trials count.
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
    """``trials_before``: trials that the study holds; a resumed search must not draw again what the first part drew."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        # QMC goes on in its sequence by the study's trials, and must keep its seed for it.
        return SAMPLERS[search.sampler](search.seed + (0 if search.sampler == "qmc" else trials_before))
