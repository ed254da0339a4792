"""Ray Train inside a Tune trial: several processes train one network in the placement group that Tune has made.

Nested the plain way, Ray 2.60 hangs twice: a trial that the scheduler stops leaves its workers' own placement group
holding the resources for ever, and a look that is unread when `fit` returns is waited for by nobody. Here Tune owns
every resource, so that a stop frees them all, and each look is handed over by hand before training goes on.

The private classes of Ray that this takes are in `raysearch.tune.on_ray.ray_private`.
"""

import os
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

import ray
from ray.exceptions import RayError
from ray.train import FailureConfig, RunConfig, ScalingConfig, WorkerGroupError
from ray.train.torch import TorchConfig
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raysearch.paths import TrialPaths
from raysearch.space import ResourcesConfig
from raysearch.train.distributed import LONGEST_WAIT, is_lost_peer
from raysearch.train.training_job import TrainingJob
from raysearch.train.worker import train_loop_per_worker
from raysearch.tune.on_ray.failures import WorkersLost, is_out_of_memory
from raysearch.tune.on_ray.ray_private import RayTrainError, TrainerInTrial
from raysearch.tune.on_ray.report_queue import ReportQueue

SETTINGS = {
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
    "RAY_TRAIN_METRICS_ENABLED": "0",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",  # a process more; a lost node's workers are started again anyway
}
POLL_S = 0.2
MAX_LOSSES = 3
"""Times that the workers are started again, each from the last checkpoint, after one of them died."""


def train_on_workers(
    hosted: TrainingJob, resources: ResourcesConfig, send: Callable[[Mapping[str, Any]], None]
) -> None:
    """Train on ``resources.workers`` processes, in the placement group of the trial that calls this.

    Every look is passed to ``send`` before training goes on after it. Raises what a worker's training raised, with its
    traceback; workers that die are started again, `MAX_LOSSES` times, and then it is a `WorkersLost`.
    """
    os.environ.update(SETTINGS)
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    looks = ray.remote(num_cpus=0, scheduling_strategy=here)(ReportQueue).remote()

    def hand_over_looks(ended: "Future[None]") -> None:
        look = looks.next.remote()
        while not ended.done():
            if ray.wait([look], timeout=POLL_S)[0]:
                send(ray.get(look))
                look = looks.next.remote()

    trainer = TrainerInTrial(
        train_loop_per_worker,
        train_loop_config={"hosted": hosted.plain, "looks": looks, "has_gpus": resources.gpus_per_worker > 0},
        torch_config=TorchConfig(timeout_s=int(LONGEST_WAIT.total_seconds())),
        scaling_config=ScalingConfig(
            num_workers=resources.workers,
            use_gpu=resources.gpus_per_worker > 0,
            resources_per_worker=resources.per_worker,
        ),
        run_config=RunConfig(
            name="train",
            storage_path=str(TrialPaths(hosted.folder).ray),
            failure_config=FailureConfig(max_failures=MAX_LOSSES),
        ),
        is_loss=_is_loss,
        wait_for=hand_over_looks,
    )
    try:
        trainer.fit()
    except WorkerGroupError as error:
        raise _cause(error) from error


def _cause(error: WorkerGroupError) -> Exception:
    """What went wrong first: not that others noticed."""
    failures = [failure for _, failure in sorted(error.worker_failures.items())]
    found = next((failure for failure in failures if not _is_loss(failure)), None)
    return found or WorkersLost(f"{len(failures)} workers died {MAX_LOSSES + 1} times; {failures[0]}")


def _is_loss(failure: Exception) -> bool:
    """Whether a worker died, or only noticed that another one did; not for want of memory."""
    if is_out_of_memory(failure):
        return False
    return isinstance(failure, (RayTrainError, RayError)) or is_lost_peer(failure)
