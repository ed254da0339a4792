"""Ray Train inside a Tune trial: several processes train one network in the placement group of the Tune trial.

The documented nesting, `TorchTrainer.fit` with a `TuneReportCallback` in a Tune trial, hangs in two ways in Ray 2.60:

- Train creates a second placement group for its workers. When Tune's scheduler stops the trial, that group keeps its
  resources for ever. Train's cleaner does not remove it on a cluster without the dashboard, and the next trial waits.
- The callback puts reports in a queue. If a report is still unread when `fit` returns, the trial waits for ever.

Here the workers run in the trial's own placement group, which Tune removes when it stops the trial. Each report goes
from the first worker through a `ReportQueue` to the trial, which passes it to Tune before training continues.

`tests/tune/on_ray/test_hangs.py` shows both hangs, and that they do not occur here. The private classes of Ray that
this needs are in `raysearch.tune.on_ray.ray_private`.
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
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",  # needs an extra process, and workers of a lost node restart anyway
}
POLL_S = 0.2
"""Seconds between checks whether training has ended, while no report arrives."""
MAX_LOSSES = 3
"""Restarts of the workers after one of them died. Each restart continues from the last checkpoint."""


def train_on_workers(job: TrainingJob, resources: ResourcesConfig, send: Callable[[Mapping[str, Any]], None]) -> None:
    """Train on ``resources.workers`` processes, in the placement group of the calling Tune trial.

    Passes every report to ``send`` before training continues. Raises the exception of a worker's training, with its
    traceback. Restarts workers that die, and raises `WorkersLost` after `MAX_LOSSES` restarts.
    """
    os.environ.update(SETTINGS)
    # On the trial's node and without a CPU, because the placement group has bundles for the workers only.
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    queue = ray.remote(num_cpus=0, scheduling_strategy=here)(ReportQueue).remote()

    def pass_reports(ended: "Future[None]") -> None:
        report = queue.next.remote()
        while not ended.done():
            if ray.wait([report], timeout=POLL_S)[0]:
                send(ray.get(report))
                report = queue.next.remote()

    trainer = TrainerInTrial(
        train_loop_per_worker,
        train_loop_config={"job": job.plain, "queue": queue, "has_gpus": resources.gpus_per_worker > 0},
        torch_config=TorchConfig(timeout_s=int(LONGEST_WAIT.total_seconds())),
        scaling_config=ScalingConfig(
            num_workers=resources.workers,
            use_gpu=resources.gpus_per_worker > 0,
            resources_per_worker=resources.per_worker,
        ),
        run_config=RunConfig(
            name="train",
            storage_path=str(TrialPaths(job.folder).ray),
            failure_config=FailureConfig(max_failures=MAX_LOSSES),
        ),
        is_loss=_is_loss,
        wait_for=pass_reports,
    )
    try:
        trainer.fit()
    except WorkerGroupError as error:
        raise _find_cause(error) from error


def _find_cause(error: WorkerGroupError) -> Exception:
    """The exception that a worker's training raised, not those of workers that lost contact to it."""
    failures = [failure for _, failure in sorted(error.worker_failures.items())]
    cause = next((failure for failure in failures if not _is_loss(failure)), None)
    return cause or WorkersLost(f"{len(failures)} workers died {MAX_LOSSES + 1} times; {failures[0]}")


def _is_loss(failure: Exception) -> bool:
    """Whether a worker died, or lost contact to one that did. Not if out of memory: a restart would repeat it."""
    if is_out_of_memory(failure):
        return False
    return isinstance(failure, (RayTrainError, RayError)) or is_lost_peer(failure)
