"""One training as one Ray Tune trial: inline in a reused actor, or spread over several by Ray Train."""

import os
import traceback
from collections.abc import Callable, Mapping
from typing import Any

from ray import tune
from ray.exceptions import RayError

from raysearch.config import TrainingConfig
from raysearch.io import read_yaml, write_text
from raysearch.paths import TrialPaths
from raysearch.space import ResourcesConfig
from raysearch.space.schema import SearchObjective
from raysearch.train.process import end_with_parent
from raysearch.train.training_job import TrainingJob, run_training_job
from raysearch.tune.on_ray.failures import WorkersLost
from raysearch.tune.on_ray.memory import within_memory
from raysearch.tune.values import report_of


class InlineReporter:
    """Tells Tune of every look of a training in Tune's own actor; asks it to stop while the stop file stands."""

    def __init__(self, hosted: TrainingJob, send: Callable[[Mapping[str, Any]], None]) -> None:
        self.hosted, self.report = hosted, send

    def should_stop(self) -> bool:
        return self.hosted.stop.exists()


def trainable(resources: ResourcesConfig, objective: SearchObjective) -> Any:
    """Tune's trainable for configs that are a `TrainingJob`'s plain values, with what a trial takes of the cluster."""

    def run_trial(config: dict[str, Any]) -> None:
        end_with_parent()
        if not resources.gpus_per_worker:
            os.environ["CUDA_VISIBLE_DEVICES"] = ""  # on a node with GPUs they belong to others
        hosted = TrainingJob.from_plain(config)
        paths = TrialPaths(hosted.folder)
        try:
            within_memory(paths, lambda: _train(hosted, resources, objective))
        except (RayError, WorkersLost):
            raise  # it died, and did not fail: without a word in error.txt the searcher goes on with it
        except Exception as error:
            reason = f"{type(error).__name__}: {'; '.join(str(error).splitlines())}"
            write_text(paths.error, "\n\n".join([reason, "".join(traceback.format_exception(error))]))
            raise

    # Of several workers, each has a bundle; the trial itself, which only waits for them, an empty one.
    bundles = [resources.per_worker] * resources.workers
    if resources.workers > 1:
        bundles = [{}, *bundles]
    return tune.with_resources(run_trial, tune.PlacementGroupFactory(bundles))


def _train(hosted: TrainingJob, resources: ResourcesConfig, objective: SearchObjective) -> None:
    training = TrainingConfig.model_validate(read_yaml(TrialPaths(hosted.folder).config))

    def send(line: Mapping[str, Any]) -> None:
        tune.report(report_of(line, objective, training.trial.total_epochs))

    if resources.workers == 1:
        run_training_job(training, hosted, InlineReporter(hosted, send))
        return
    from raysearch.tune.on_ray.workers import train_on_workers

    train_on_workers(hosted, resources, send)
