"""The function that Ray Train runs in each process that trains one model. Ray Train has made the process group."""

import os
from collections.abc import Mapping
from typing import Any

import ray
from ray.actor import ActorHandle

from raysearch.config import TrainingConfig
from raysearch.io import read_yaml
from raysearch.paths import TrialPaths
from raysearch.train.distributed import current_world
from raysearch.train.process import end_with_parent
from raysearch.train.training_job import TrainingJob, run_training_job


class WorkerReporter:
    """Passes the first process's reports to the trial, and waits until the trial has handled each.

    The training therefore does not run ahead: a trial that is stopped at a report has written nothing after it.
    """

    def __init__(self, queue: ActorHandle, job: TrainingJob) -> None:
        """``queue``: an actor with the methods of `raysearch.tune.on_ray.report_queue.ReportQueue`."""
        self.queue, self.job = queue, job
        self.is_main = current_world().is_main

    def report(self, metrics: Mapping[str, Any]) -> None:
        if self.is_main:
            ray.get(self.queue.give.remote(dict(metrics)))

    def should_stop(self) -> bool:
        return self.job.stop.exists()


def train_loop_per_worker(config: dict[str, Any]) -> None:
    """Train in one process of the group.

    ``config``: ``job``, the plain values of a `TrainingJob`; ``queue``, the actor for `WorkerReporter`; and
    ``has_gpus``, whether each worker has a GPU.
    """
    end_with_parent()
    if not config["has_gpus"]:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # a node's GPUs belong to other trials
    job = TrainingJob.from_plain(config["job"])
    training = TrainingConfig.model_validate(read_yaml(TrialPaths(job.folder).config))
    run_training_job(training, job, WorkerReporter(config["queue"], job))
