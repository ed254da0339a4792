"""ASHA's rungs after a restart."""

from types import SimpleNamespace

import optuna

from raysearch.space import SearchConfig
from raysearch.tune.scheduler import build_scheduler, replay


def ended_study(direction: str, curves: list[dict[int, float]]) -> optuna.Study:
    study = optuna.create_study(direction=direction)
    for curve in curves:
        values = {"state": optuna.trial.TrialState.PRUNED, "intermediate_values": curve}
        study.add_trial(optuna.trial.create_trial(**values))
    return study


def test_a_new_asha_remembers_how_far_earlier_trials_got() -> None:
    scheduler = build_scheduler(SearchConfig(grace=0.25, reduction_factor=2))
    study = ended_study("maximize", [{2: 0.5, 4: 0.8}, {2: 0.3}])
    replay(scheduler, study, {0: 8, 1: 8})
    rungs = dict(scheduler._brackets[0]._rungs)
    assert rungs[25] == {"study-0": 0.5, "study-1": 0.3}
    assert rungs[50] == {"study-0": 0.8}
    newcomer = SimpleNamespace(trial_id="new")
    assert scheduler._brackets[0].on_result(newcomer, 25, 0.35) == "STOP"


def test_a_log_loss_counts_the_other_way_round() -> None:
    scheduler = build_scheduler(SearchConfig(objective="log_loss"))
    replay(scheduler, ended_study("minimize", [{2: 0.5}, {2: 0.3}]), {0: 8, 1: 8})
    (_, recorded) = scheduler._brackets[0]._rungs[-1]
    assert recorded == {"study-0": -0.5, "study-1": -0.3}


def test_without_a_scheduler_nothing_is_replayed() -> None:
    scheduler = build_scheduler(SearchConfig(scheduler="none"))
    replay(scheduler, ended_study("maximize", [{2: 0.5}]), {0: 8})
    assert not hasattr(scheduler, "_brackets")
