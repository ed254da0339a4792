"""One training as one Ray Tune trial: inline in Tune's actor, or on several workers by Ray Train."""

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
from raysearch.tune.on_ray.memory import retry_with_smaller_batches
from raysearch.tune.values import report_of


class InlineReporter:
    """Reports the evaluations of a training in Tune's actor. The training stops while the job's stop file exists."""

    def __init__(self, job: TrainingJob, send: Callable[[Mapping[str, Any]], None]) -> None:
        self.job, self.report = job, send

    def should_stop(self) -> bool:
        return self.job.stop.exists()


def build_trainable(resources: ResourcesConfig, objective: SearchObjective) -> Any:
    """Tune's trainable, with its resource request. Its configs are the plain values of a `TrainingJob`."""

    def run_trial(config: dict[str, Any]) -> None:
        end_with_parent()
        if not resources.gpus_per_worker:
            os.environ["CUDA_VISIBLE_DEVICES"] = ""  # the node's GPUs are reserved for other programs
        job = TrainingJob.from_plain(config)
        paths = TrialPaths(job.folder)
        try:
            retry_with_smaller_batches(paths, lambda: _train(job, resources, objective))
        except (RayError, WorkersLost):
            raise  # a process died and the training did not raise; no error.txt means: restart the trial
        except Exception as error:
            reason = f"{type(error).__name__}: {'; '.join(str(error).splitlines())}"
            write_text(paths.error, "\n\n".join([reason, "".join(traceback.format_exception(error))]))
            raise

    # With several workers, each worker has a bundle. The trial only waits for them and has an empty head bundle.
    bundles = [resources.per_worker] * resources.workers
    if resources.workers > 1:
        bundles = [{}, *bundles]
    return tune.with_resources(run_trial, tune.PlacementGroupFactory(bundles))


def _train(job: TrainingJob, resources: ResourcesConfig, objective: SearchObjective) -> None:
    training = TrainingConfig.model_validate(read_yaml(TrialPaths(job.folder).config))

    def send(line: Mapping[str, Any]) -> None:
        tune.report(report_of(line, objective, training.trial.total_epochs))

    if resources.workers == 1:
        run_training_job(training, job, InlineReporter(job, send))
        return
    from raysearch.tune.on_ray.workers import train_on_workers  # loads Ray Train, which one worker does not need

    train_on_workers(job, resources, send)
