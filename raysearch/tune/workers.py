"""Ray Train inside a Tune trial: several processes train one network in the placement group that Tune has made.

Nested the plain way, Ray 2.60 hangs twice: a trial that the scheduler stops leaves its workers' own placement group
holding the resources for ever, and a look that is unread when `fit` returns is waited for by nobody. Here Tune owns
every resource, so that a stop frees them all, and each look is handed over by hand before training goes on.

Ray Train has no public way to be given a placement group: this leans on private classes of Ray 2.60, by subclassing.
"""

import asyncio
import os
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

import ray
from ray.exceptions import RayError
from ray.train import FailureConfig, RunConfig, ScalingConfig, WorkerGroupError
from ray.train.torch import TorchConfig, TorchTrainer
from ray.train.v2._internal.callbacks import DatasetsCallback
from ray.train.v2._internal.callbacks.placement_group_callback import PlacementGroupCleanerCallback
from ray.train.v2._internal.exceptions import RayTrainError
from ray.train.v2._internal.execution.controller import TrainController
from ray.train.v2._internal.execution.failure_handling import DefaultFailurePolicy, FailureDecision
from ray.train.v2._internal.execution.scaling_policy.fixed import FixedScalingPolicy
from ray.train.v2._internal.execution.worker_group import WorkerGroup
from ray.train.v2._internal.execution.worker_group.placement_group_handle import DefaultPlacementGroupHandle
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raysearch.paths import TrialPaths
from raysearch.space import ResourcesConfig
from raysearch.train.distributed import LONGEST_WAIT, is_lost_peer
from raysearch.train.hosted import Hosted
from raysearch.train.worker import train_loop_per_worker
from raysearch.tune.looks import Looks
from raysearch.tune.memory import is_out_of_memory
from raysearch.tune.trial import WorkersLost

SETTINGS = {
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
    "RAY_TRAIN_METRICS_ENABLED": "0",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",  # a process more; a lost node's workers are started again anyway
}
POLL_S = 0.2
MAX_LOSSES = 3
"""Times that the workers are started again, each from the last checkpoint, after one of them died."""


def train_on_workers(hosted: Hosted, resources: ResourcesConfig, send: Callable[[Mapping[str, Any]], None]) -> None:
    """Train on ``resources.workers`` processes, in the placement group of the trial that calls this.

    Every look is passed to ``send`` before training goes on after it. Raises what a worker's training raised, with its
    traceback; workers that die are started again, `MAX_LOSSES` times, and then it is a `WorkersLost`.
    """
    os.environ.update(SETTINGS)
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    looks = ray.remote(num_cpus=0, scheduling_strategy=here)(Looks).remote()
    trainer = _Trainer(
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
    )
    trainer.looks, trainer.send = looks, send
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


class _Trainer(TorchTrainer):
    """Runs `_Controller` in the trial's process, and hands the looks to ``send`` in the trial's own thread."""

    looks: Any
    send: Callable[[Mapping[str, Any]], None]

    def _create_default_callbacks(self) -> list[Any]:
        # Each starts an actor of its own: the first removes a group that Train made and outlives the trial, the second
        # hands out Ray datasets, of which there are none.
        left_out = (PlacementGroupCleanerCallback, DatasetsCallback)
        return [callback for callback in super()._create_default_callbacks() if not isinstance(callback, left_out)]

    def _initialize_and_run_controller(self, **options: Any) -> Any:
        options["scaling_policy"] = _FixedSize(self.scaling_config)
        options["failure_policy"] = _RestartAfterLosses(self.run_config.failure_config)
        controller = _Controller(**options)
        ended = _in_thread(lambda: asyncio.run(controller.run()))
        look = self.looks.next.remote()
        while not ended.done():
            if ray.wait([look], timeout=POLL_S)[0]:
                self.send(ray.get(look))
                look = self.looks.next.remote()
        ended.result()
        return controller.get_result()


def _in_thread(run: Callable[[], None]) -> "Future[None]":
    """``run()`` in a thread that holds up no process's end: a trial that is stopped leaves it behind."""
    ended: Future[None] = Future()

    def fulfil() -> None:
        try:
            run()
        except BaseException as error:
            ended.set_exception(error)
        else:
            ended.set_result(None)

    threading.Thread(target=fulfil, name="ray-train", daemon=True).start()
    return ended


class _TunesGroup(DefaultPlacementGroupHandle):
    """The trial's placement group: Train may use it, Tune removes it."""

    def shutdown(self) -> None:
        pass


class _WorkerGroup(WorkerGroup):
    """Workers in the trial's placement group: bundle i is worker i's."""

    def _create_placement_group(self, scaling_config: Any, worker_group_context: Any) -> DefaultPlacementGroupHandle:
        return _TunesGroup(ray.util.get_current_placement_group())


class _Controller(TrainController):
    """Ray Train's controller with `_WorkerGroup`s."""

    worker_group_cls = _WorkerGroup


class _FixedSize(FixedScalingPolicy):
    """Asks no autoscaler for anything: the trial's placement group has."""

    def _send_resource_request(self) -> None:
        pass

    _maybe_send_resource_request = _cancel_resource_request = _send_resource_request


class _RestartAfterLosses(DefaultFailurePolicy):
    """Workers that died are started again; what a training raised is final."""

    def make_decision(self, training_failed_error: Any) -> FailureDecision:
        failures = getattr(training_failed_error, "worker_failures", {}).values()
        if any(not _is_loss(failure) for failure in failures):
            return FailureDecision.RAISE
        return super().make_decision(training_failed_error)
