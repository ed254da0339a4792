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
from raysearch.tune.on_ray.trial import trainable
from raysearch.tune.on_ray.trial_errors import TrialErrors
from raysearch.tune.store.study import open_storage


def run_trials(space: Space, paths: StudyPaths, concurrency: int, listener: Listener) -> None:
    """Hand the study to Ray Tune until the searcher has nothing more to ask or the stop file stands."""
    stored = open_storage(paths, space.study, space.search)
    errors = TrialErrors()
    searcher = StudySearcher(stored, space, paths, concurrency, listener, errors.of)
    scheduler = build_scheduler(space.search)
    replay(scheduler, stored, {number: epochs_of(trial) for number, trial in paths.trials()})
    if space.data.folds:
        scheduler = FoldScheduler(scheduler, paths, space.data.folds, space.search.objective)
    node = NodeWatch(paths)
    # Else Tune asks for a trial only when the last one's process has started: seconds for each.
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(concurrency)
    with tempfile.TemporaryDirectory(prefix="raysearch-") as scratch, watching(paths, listener, node.look):
        tuner = tune.Tuner(
            trainable(space.resources, space.search.objective),
            tune_config=tune.TuneConfig(
                search_alg=searcher,
                scheduler=scheduler,
                metric=searcher.metric,
                mode=searcher.mode,
                num_samples=-1,
                # Several workers must end with their trial: only then Tune frees what they hold.
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
            f"{paths.root}: {searcher.stored.failed} trials failed, more than search.max_failures "
            f"({space.search.max_failures}); their result.json and error.txt say why. "
            "What was trained is kept; --resume goes on once the cause is mended"
        )


def epochs_of(trial: TrialPaths) -> int:
    """The epochs that each training of a trial was to do; 0 where nothing says so."""
    if result := read_result(trial):
        return int(result["epochs"]) // result.get("folds", 1)
    if not trial.config.is_file():
        return 0
    return TrainingConfig.model_validate(read_yaml(trial.config)).trial.total_epochs
