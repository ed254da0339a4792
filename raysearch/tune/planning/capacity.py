"""How many trials fit a cluster at once. A request that can never be scheduled is refused with the nearest that can."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from raysearch.errors import UserError
from raysearch.space import ResourcesConfig
from raysearch.tune.planning.units import format_count

Resources: TypeAlias = Mapping[str, float]
"""A node's resources under Ray's names: ``CPU``, ``GPU``; ``memory`` and ``object_store_memory`` in bytes."""
SMALLEST_GPU_SHARE = 1e-4
"""Ray counts resources in units of this size."""
MAX_NODES = 1000
"""Nodes of one kind that are counted if the autoscaler has no limit."""
HEAD = "node:__internal_head__"
"""The resource by which Ray marks a cluster's head node."""


@dataclass(frozen=True)
class Growth:
    """Nodes of one kind that an autoscaler may start in addition to the running ones."""

    resources: Resources
    count: int


@dataclass(frozen=True)
class Cluster:
    """The running nodes, and the nodes that may be started on demand."""

    nodes: tuple[Resources, ...]
    growth: tuple[Growth, ...] = ()
    max_new_nodes: int | None = None
    """Limit on new nodes of all kinds together; None: no limit"""
    is_open: bool = False
    """Whether an autoscaler may also start nodes of unknown kinds. If so, no request is impossible."""

    @property
    def kinds(self) -> list[Resources]:
        """Every kind of node that runs or may be started."""
        return [*self.nodes, *(kind.resources for kind in self.growth)]

    def nodes_to_start(self, resources: ResourcesConfig) -> list[Growth]:
        """The nodes that may be started for such workers, those that hold most workers first."""
        chosen, left = [], self.max_new_nodes
        for kind in sorted(self.growth, key=lambda kind: -count_workers(kind.resources, resources)):
            count = kind.count if left is None else min(kind.count, left)
            left = None if left is None else left - count
            if count and count_workers(kind.resources, resources):
                chosen.append(Growth(kind.resources, count))
        return chosen


@dataclass(frozen=True)
class Share:
    """A group of equal nodes."""

    nodes: int
    workers: int
    """Workers that fit one of the nodes"""
    memory_bytes: float | None
    """Memory that Ray has on each node; None if it is unknown until the node runs"""


@dataclass(frozen=True)
class Capacity:
    """The part of a cluster that trials can use."""

    trials: int
    """Trials at once: as many as fit, at most `resources.concurrency`"""
    shares: tuple[Share, ...]
    """The nodes that hold at least one worker"""
    notes: tuple[str, ...] = ()

    @property
    def workers(self) -> int:
        return sum(share.nodes * share.workers for share in self.shares)


def compute_capacity(resources: ResourcesConfig, cluster: Cluster, where: str) -> Capacity:
    """Count the trials that fit. Each worker must fit one node; a trial's workers may be on several nodes.

    ``where`` is the name of the space file, for messages. Raises `UserError` with every request that can never be
    scheduled.
    """
    kinds = [*(Growth(node, 1) for node in cluster.nodes), *cluster.nodes_to_start(resources)]
    shares = tuple(
        Share(kind.count, workers, _read_memory(kind.resources))
        for kind in kinds
        if (workers := count_workers(kind.resources, resources))
    )
    workers = sum(share.nodes * share.workers for share in shares)
    faults = list(_impossible_shares(resources)) or list(_faults(resources, cluster, workers))
    notes = list(_notes(resources, cluster))
    if faults and cluster.is_open and not list(_impossible_shares(resources)):
        notes += [f"{fault}. The cluster's autoscaler may start other nodes" for fault in faults]
        return Capacity(resources.concurrency or 1, shares, tuple(notes))
    if faults:
        raise UserError(f"{where}: {fault}" for fault in faults)
    fits = workers // resources.workers
    if resources.concurrency and resources.concurrency > fits:
        notes.append(f"resources.concurrency: got {resources.concurrency}, but only {fits} trials fit the cluster")
    return Capacity(min(fits, resources.concurrency or fits), shares, tuple(notes))


def count_workers(node: Resources, resources: ResourcesConfig) -> int:
    """Count the workers that fit a node. A fraction of a GPU is always taken from a single GPU."""
    cpus, gpus = int(node.get("CPU", 0)), int(node.get("GPU", 0))
    fits, per_worker = cpus // resources.cpus_per_worker, resources.gpus_per_worker
    if 0 < per_worker < 1:
        # The addend corrects rounding: three workers with 1/3 GPU each fit one GPU.
        return min(fits, gpus * int(1 / per_worker + SMALLEST_GPU_SHARE))
    return min(fits, gpus // int(per_worker)) if per_worker else fits


def _impossible_shares(resources: ResourcesConfig) -> Iterator[str]:
    gpus = resources.gpus_per_worker
    if gpus > 1 and not gpus.is_integer():
        yield f"resources.gpus_per_worker: got {gpus:g}, but above 1 it must be a whole number; set it to {int(gpus)}"
    if 0 < gpus < 1 < resources.workers:
        yield (
            f"resources.gpus_per_worker: got {gpus:g}, but workers that train one network need a GPU each (NCCL); "
            "set it to 1, or set resources.workers to 1"
        )
    if 0 < gpus < SMALLEST_GPU_SHARE:
        yield f"resources.gpus_per_worker: got {gpus:g}; the smallest share is {SMALLEST_GPU_SHARE:f}".rstrip("0")


def _faults(resources: ResourcesConfig, cluster: Cluster, workers: int) -> Iterator[str]:
    """Requests that can never be scheduled, each with the nearest that can."""
    cpus, gpus = resources.cpus_per_worker, resources.gpus_per_worker
    most_gpus = max((kind.get("GPU", 0) for kind in cluster.kinds), default=0)
    if gpus and not most_gpus:
        yield (
            f"resources.gpus_per_worker: got {gpus:g}, but 0 GPUs are available; "
            "set resources.gpus_per_worker=0 to train on CPUs"
        )
    elif gpus > most_gpus:
        yield (
            f"resources.gpus_per_worker: got {gpus:g}, but no node has more than {format_count(most_gpus, 'GPU')}; "
            f"set resources.gpus_per_worker={most_gpus:g}"
        )
    with_gpus = [kind for kind in cluster.kinds if kind.get("GPU", 0) >= min(gpus, most_gpus)]
    most_cpus = int(max((kind.get("CPU", 0) for kind in with_gpus), default=0))
    if not most_cpus:
        yield "resources.cpus_per_worker: no node has CPUs for trials; start nodes that do (ray start --num-cpus=N)"
    elif cpus > most_cpus:
        node = f"node with {format_count(min(gpus, most_gpus), 'GPU')}" if gpus and most_gpus else "node"
        yield (
            f"resources.cpus_per_worker: got {cpus}, but no {node} has more than {format_count(most_cpus, 'CPU')}; "
            f"set resources.cpus_per_worker={most_cpus}"
        )
    if 0 < workers < resources.workers:
        yield (
            f"resources.workers: got {resources.workers}, but only {workers} such workers fit the cluster "
            f"(CPU {cpus}, GPU {gpus:g} each); set resources.workers={workers}, or add nodes"
        )


def _notes(resources: ResourcesConfig, cluster: Cluster) -> Iterator[str]:
    gpus = sum(node.get("GPU", 0) for node in cluster.nodes)
    if gpus and not resources.gpus_per_worker:
        yield f"{format_count(gpus, 'GPU')} idle; --set resources.gpus_per_worker=1 uses them"
    if count := sum(kind.count for kind in cluster.nodes_to_start(resources)):
        yield f"the plan includes {format_count(count, 'node')} that the cluster's autoscaler has not started yet"


def _read_memory(node: Resources) -> float | None:
    """All memory that Ray may assign. It includes the object store, because trials put nothing there."""
    return node["memory"] + node.get("object_store_memory", 0) if "memory" in node else None


def read_autoscaler_config(nodes: tuple[Resources, ...], config: Mapping[str, Any]) -> Cluster:
    """The running ``nodes`` and what an autoscaler may start by ``config``, a `ray up` cluster file."""
    most, head = config.get("max_workers", 0), config["head_node_type"]
    kinds = [
        (kind.get("resources") or {}, kind.get("max_workers", 0 if name == head else most))
        for name, kind in config["available_node_types"].items()
    ]
    return add_growth(nodes, kinds, most)


def add_growth(
    nodes: tuple[Resources, ...], kinds: Iterable[tuple[Resources, int]], max_workers: int | None = None
) -> Cluster:
    """The running ``nodes`` and the nodes that may be started.

    ``kinds``: resources of each kind of node ({} if unknown) and its largest number of nodes (-1: no limit).
    ``max_workers``: limit for all kinds together; None: no limit. The head node does not count.
    """
    workers = [node for node in nodes if HEAD not in node]
    growth, is_open = [], False
    for resources, limit in kinds:
        # A running node belongs to a kind if its CPUs and GPUs agree; to a kind of unknown size, every node may belong.
        running = sum(not resources or _size(node) == _size(resources) for node in workers)
        count = (MAX_NODES if limit < 0 else limit) - running
        if count > 0 and resources:
            growth.append(Growth(resources, count))
        is_open = is_open or (count > 0 and not resources)
    return Cluster(nodes, tuple(growth), None if max_workers is None else max(0, max_workers - len(workers)), is_open)


def _size(node: Resources) -> tuple[float, float]:
    return node.get("CPU", 0), node.get("GPU", 0)
