"""One of the processes that Ray Train starts to train one model together: `torch.distributed` stands already."""

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
    """Hands every look of the first process to the trial, and waits until it has been taken.

    So no process runs ahead: a trial that is stopped at a look has written nothing after it.
    """

    def __init__(self, looks: ActorHandle, hosted: TrainingJob) -> None:
        """``looks``: an actor whose ``give`` returns when the trial has taken a look."""
        self.looks, self.hosted = looks, hosted
        self.is_main = current_world().is_main

    def report(self, metrics: Mapping[str, Any]) -> None:
        if self.is_main:
            ray.get(self.looks.give.remote(dict(metrics)))

    def should_stop(self) -> bool:
        return self.hosted.stop.exists()


def train_loop_per_worker(config: dict[str, Any]) -> None:
    """``config`` holds ``hosted``, the plain values of a `TrainingJob`; ``looks``, the actor of `WorkerReporter`; and
    ``has_gpus``, whether workers have a GPU each."""
    end_with_parent()
    if not config["has_gpus"]:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # on a node with GPUs they belong to others
    hosted = TrainingJob.from_plain(config["hosted"])
    training = TrainingConfig.model_validate(read_yaml(TrialPaths(hosted.folder).config))
    run_training_job(training, hosted, WorkerReporter(config["looks"], hosted))
