"""Runs the trials of a study with Ray Tune."""

import os
import tempfile

from ray import tune

from raysearch.config import TrainingConfig
from raysearch.errors import StudyError
from raysearch.io import read_yaml
from raysearch.paths import StudyPaths, TrialPaths
from raysearch.space import Space
from raysearch.train.result import read_result
from raysearch.tune.display.watches import watching
from raysearch.tune.listener import Listener
from raysearch.tune.on_ray.fold_scheduler import FoldScheduler
from raysearch.tune.on_ray.node import NodeWatch
from raysearch.tune.on_ray.scheduler import build_scheduler, replay
from raysearch.tune.on_ray.searcher import StudySearcher
from raysearch.tune.on_ray.trial import build_trainable
from raysearch.tune.on_ray.trial_errors import TrialErrors
from raysearch.tune.store.study import open_storage


def run_trials(
    space: Space, paths: StudyPaths, concurrency: int, listener: Listener, ends_at: float | None = None
) -> None:
    """Run trials until the searcher has no more or the stop file exists. Ray must be connected (`ray_session`).

    ``concurrency`` is the number of trainings at once. ``ends_at`` is the time at which trainings with a time limit
    must have ended, in seconds since the epoch. Raises `StudyError` if too many trials fail or this machine's
    Ray node dies.
    """
    stored = open_storage(paths, space.study, space.search)
    errors = TrialErrors()
    searcher = StudySearcher(stored, space, paths, concurrency, listener, errors.load, ends_at)
    scheduler = build_scheduler(space.search)
    replay(scheduler, stored, {number: read_planned_epochs(trial) for number, trial in paths.trials()})
    if space.data.trainings:
        scheduler = FoldScheduler(scheduler, paths, space.data.trainings, space.search.objective)
    node = NodeWatch(paths)
    # Otherwise Tune asks for a training only after the process of the last one has started, which takes seconds each.
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(concurrency)
    with tempfile.TemporaryDirectory(prefix="raysearch-") as scratch, watching(paths, listener, node.check):
        tuner = tune.Tuner(
            build_trainable(space.resources, space.search.objective),
            tune_config=tune.TuneConfig(
                search_alg=searcher,
                scheduler=scheduler,
                metric=searcher.metric,
                mode=searcher.mode,
                num_samples=-1,
                # With several workers, the actor must end with its trial, so that Tune frees the placement group.
                reuse_actors=space.resources.workers == 1,
            ),
            run_config=tune.RunConfig(name=space.study, storage_path=scratch, verbose=0, callbacks=[errors, node]),
        )
        try:
            tuner.fit()
        finally:
            node.has_ended = True
    searcher.finish()
    if searcher.has_failed_too_often:
        raise StudyError(
            f"{paths.root}: {searcher.stored.num_failed} trials failed, more than search.max_failures "
            f"({space.search.max_failures}); see result.json and error.txt in their folders. "
            "Everything trained so far is kept: fix the cause, then run again with --resume"
        )


def read_planned_epochs(trial: TrialPaths) -> int:
    """The total number of epochs of each training of a trial; 0 if the trial has neither a result nor a config."""
    if result := read_result(trial):
        return int(result["epochs"]) // result.get("folds", 1)
    if not trial.config.is_file():
        return 0
    return TrainingConfig.model_validate(read_yaml(trial.config)).trial.total_epochs
