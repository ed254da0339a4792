"""All private parts of Ray that raysearch uses, as read in Ray 2.60. No other file uses one.

Ray has no public way to give Ray Train a placement group, to give a scheduler of Ray Tune earlier results, or to ask
which nodes an autoscaler may start. `PRIVATE` lists the parts; a test checks that Ray still has them.
"""

import asyncio
import json
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

import ray
from ray.autoscaler.v2.utils import is_autoscaler_v2
from ray.experimental.internal_kv import _internal_kv_get
from ray.train.torch import TorchTrainer
from ray.train.v2._internal.callbacks import DatasetsCallback
from ray.train.v2._internal.callbacks.placement_group_callback import PlacementGroupCleanerCallback
from ray.train.v2._internal.exceptions import RayTrainError
from ray.train.v2._internal.execution.controller import TrainController
from ray.train.v2._internal.execution.failure_handling import DefaultFailurePolicy, FailureDecision
from ray.train.v2._internal.execution.scaling_policy.fixed import FixedScalingPolicy
from ray.train.v2._internal.execution.worker_group import WorkerGroup
from ray.train.v2._internal.execution.worker_group.placement_group_handle import DefaultPlacementGroupHandle
from ray.tune.schedulers import AsyncHyperBandScheduler, MedianStoppingRule

__all__ = [
    "PRIVATE",
    "READ_IN",
    "RayTrainError",
    "TrainerInTrial",
    "assign_bracket",
    "count_rungs",
    "find_error_file",
    "has_autoscaler",
    "is_ray_client",
    "list_brackets",
    "reported_node_groups",
    "set_results",
]

READ_IN = "2.60"
"""The version of Ray whose sources were read for this file; `pyproject.toml` pins it."""

PRIVATE = (
    "ray._private.state.state.get_cluster_config",
    "ray.autoscaler.v2.utils.is_autoscaler_v2",
    "ray.experimental.internal_kv._internal_kv_get",
    "ray.train.torch.TorchTrainer._create_default_callbacks",
    "ray.train.torch.TorchTrainer._initialize_and_run_controller",
    "ray.train.v2._internal.callbacks.DatasetsCallback",
    "ray.train.v2._internal.callbacks.placement_group_callback.PlacementGroupCleanerCallback",
    "ray.train.v2._internal.exceptions.RayTrainError",
    "ray.train.v2._internal.execution.controller.TrainController.get_result",
    "ray.train.v2._internal.execution.controller.TrainController.run",
    "ray.train.v2._internal.execution.controller.TrainController.worker_group_cls",
    "ray.train.v2._internal.execution.failure_handling.DefaultFailurePolicy.make_decision",
    "ray.train.v2._internal.execution.failure_handling.FailureDecision.RAISE",
    "ray.train.v2._internal.execution.scaling_policy.fixed.FixedScalingPolicy._cancel_resource_request",
    "ray.train.v2._internal.execution.scaling_policy.fixed.FixedScalingPolicy._maybe_send_resource_request",
    "ray.train.v2._internal.execution.scaling_policy.fixed.FixedScalingPolicy._send_resource_request",
    "ray.train.v2._internal.execution.worker_group.WorkerGroup._create_placement_group",
    "ray.train.v2._internal.execution.worker_group.placement_group_handle.DefaultPlacementGroupHandle.shutdown",
    "ray.tune.experiment.Trial.pickled_error_file",
    "ray.tune.schedulers.AsyncHyperBandScheduler()._brackets",
    "ray.tune.schedulers.AsyncHyperBandScheduler()._brackets.0._rungs",
    "ray.tune.schedulers.AsyncHyperBandScheduler()._brackets.0.on_result",
    "ray.tune.schedulers.AsyncHyperBandScheduler()._trial_info",
    "ray.tune.schedulers.MedianStoppingRule()._results",
    "ray.util.client.ray.is_connected",
)
"""Dotted names. ``()`` stands for an instance made without arguments, a number for an item of a list."""


# The autoscaler.


def is_ray_client() -> bool:
    """Whether this process is connected through Ray Client (`ray://`)."""
    return bool(ray.util.client.ray.is_connected())


def reported_node_groups() -> list[tuple[dict[str, float], int]] | None:
    """Resources and largest number of each kind of node, as an autoscaler reported them to Ray; None if none did."""
    reported = ray._private.state.state.get_cluster_config()
    if not reported or not reported.node_group_configs:
        return None
    return [(dict(group.resources), group.max_count) for group in reported.node_group_configs]


def has_autoscaler() -> bool:
    """Whether nodes are started on demand, as far as this can be seen from a node other than the head."""
    if is_autoscaler_v2(fetch_from_server=True):
        return True
    status = json.loads(_internal_kv_get("__autoscaling_status") or "{}")
    kinds = ((status.get("autoscaler_report") or {}).get("node_type_mapping") or {}).values()
    # Without an autoscaler, Ray reports each node as a kind named node_<id>.
    return any(not kind.startswith("node_") for kind in kinds)


# The state of Tune's schedulers, and the error of a trial.


def list_brackets(scheduler: AsyncHyperBandScheduler) -> list[Any]:
    """The scheduler's brackets: objects with `on_result(trial, time, value)`."""
    return list(scheduler._brackets)


def count_rungs(bracket: Any) -> int:
    return len(bracket._rungs)


def assign_bracket(scheduler: AsyncHyperBandScheduler, trial_id: Any, bracket: Any) -> None:
    """Replace the bracket of a trial, which `on_trial_add` draws at random, by ``bracket``."""
    scheduler._trial_info[trial_id] = bracket


def set_results(scheduler: MedianStoppingRule, trial: Any, results: list[dict[str, Any]]) -> None:
    """Give the scheduler ``results`` as if it had received them from ``trial``."""
    scheduler._results[trial] = results


def find_error_file(trial: Any) -> str | None:
    """Path of the pickled error that ended a Tune trial; None if there is none."""
    path: str | None = trial.pickled_error_file
    return path


# Ray Train in the placement group of a Tune trial.


class TrainerInTrial(TorchTrainer):
    """A `TorchTrainer` whose workers use the placement group of the Tune trial that calls `fit`.

    Train's controller runs in a thread of the trial's process, not in a separate actor.
    """

    def __init__(
        self,
        *args: Any,
        is_loss: Callable[[Exception], bool],
        wait_for: Callable[["Future[None]"], None],
        **options: Any,
    ) -> None:
        """``is_loss``: whether a worker's failure means that the worker died. Then the workers restart; any other
        failure is final. ``wait_for``: called in the thread of `fit`; must return when the future is done."""
        super().__init__(*args, **options)
        self._is_loss, self._wait_for = is_loss, wait_for

    def _create_default_callbacks(self) -> list[Any]:
        # Each of these starts an actor. The first removes Train's own placement group, and would outlive the trial; the
        # second serves Ray datasets. There is neither here.
        unused = (PlacementGroupCleanerCallback, DatasetsCallback)
        return [callback for callback in super()._create_default_callbacks() if not isinstance(callback, unused)]

    def _initialize_and_run_controller(self, **options: Any) -> Any:
        options["scaling_policy"] = _FixedSize(self.scaling_config)
        options["failure_policy"] = _RestartAfterLosses(self.run_config.failure_config, self._is_loss)
        controller = _Controller(**options)
        ended = _run_in_thread(lambda: asyncio.run(controller.run()))
        self._wait_for(ended)
        ended.result()
        return controller.get_result()


def _run_in_thread(run: Callable[[], None]) -> "Future[None]":
    """Call ``run`` in a daemon thread, so that it does not keep the process of a stopped trial alive."""
    ended: Future[None] = Future()

    def call() -> None:
        try:
            run()
        except BaseException as error:
            ended.set_exception(error)
        else:
            ended.set_result(None)

    threading.Thread(target=call, name="ray-train", daemon=True).start()
    return ended


class _TrialsGroup(DefaultPlacementGroupHandle):
    """The trial's placement group. Train only uses it; Tune created it and removes it."""

    def shutdown(self) -> None:
        pass


class _WorkerGroup(WorkerGroup):
    """Workers in the trial's placement group: worker i uses bundle i."""

    def _create_placement_group(self, scaling_config: Any, worker_group_context: Any) -> DefaultPlacementGroupHandle:
        return _TrialsGroup(ray.util.get_current_placement_group())


class _Controller(TrainController):
    worker_group_cls = _WorkerGroup


class _FixedSize(FixedScalingPolicy):
    """Requests nothing from an autoscaler, because the trial's placement group already has the resources."""

    def _send_resource_request(self) -> None:
        pass

    _maybe_send_resource_request = _cancel_resource_request = _send_resource_request


class _RestartAfterLosses(DefaultFailurePolicy):
    """Restarts workers that died. An exception of the training is final."""

    def __init__(self, failure_config: Any, is_loss: Callable[[Exception], bool]) -> None:
        super().__init__(failure_config)
        self._is_loss = is_loss

    def make_decision(self, training_failed_error: Any) -> FailureDecision:
        failures: Mapping[int, Exception] = getattr(training_failed_error, "worker_failures", {})
        if any(not self._is_loss(failure) for failure in failures.values()):
            return FailureDecision.RAISE
        return super().make_decision(training_failed_error)
