"""Which trials are stopped early."""

from types import SimpleNamespace

import optuna
from optuna.trial import TrialState
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, TrialScheduler

from raysearch.space import SearchConfig
from raysearch.tune.trial import PROGRESS


def build_scheduler(search: SearchConfig) -> TrialScheduler:
    """ASHA with rungs at grace, grace * factor, ... of each trial's own epochs; or none."""
    if search.scheduler == "none" or search.grace >= 1:
        return FIFOScheduler()
    return ASHAScheduler(
        time_attr=PROGRESS, max_t=100, grace_period=100 * search.grace, reduction_factor=search.reduction_factor
    )


def replay(scheduler: TrialScheduler, study: optuna.Study, epochs_of: dict[int, int]) -> None:
    """Fill a new ASHA's rungs from the study's ended trials: it starts empty and would let weak trials pass.

    ``epochs_of``: each ended trial's own epochs, by number; one without is left out.
    """
    if not isinstance(scheduler, ASHAScheduler):
        return
    sign = 1 if study.direction == optuna.study.StudyDirection.MAXIMIZE else -1
    for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED)):
        if not epochs_of.get(trial.number):
            continue
        stub = SimpleNamespace(trial_id=f"study-{trial.number}")
        for epoch, value in sorted(trial.intermediate_values.items()):
            percent = 100 * epoch / epochs_of[trial.number]
            scheduler._brackets[0].on_result(stub, percent, sign * value)
