"""How many trials a cluster holds at once. What it can never hold is refused, with the nearest setting that it can."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from raysearch.errors import UserError
from raysearch.space import ResourcesConfig

Resources: TypeAlias = Mapping[str, float]
"""Of a node, under Ray's names: ``CPU`` and ``GPU``; ``memory`` and ``object_store_memory`` in bytes."""
SMALLEST_GPU_SHARE = 1e-4
"""What Ray counts in."""
MOST_NODES = 1000
"""As many of a kind as are counted, where an autoscaler knows no limit."""
HEAD = "node:__internal_head__"
"""Ray's mark among the resources of a cluster's first node."""


@dataclass(frozen=True)
class Growth:
    """Nodes of one kind that an autoscaler may start, beside those that run."""

    resources: Resources
    count: int


@dataclass(frozen=True)
class Cluster:
    """The nodes that run, and those that may be started when trials ask for them."""

    nodes: tuple[Resources, ...]
    growth: tuple[Growth, ...] = ()
    most_new: int | None = None
    """Nodes of all these kinds together; None: no limit"""
    is_open: bool = False
    """Whether an autoscaler may also start nodes of kinds that are not known here; nothing is then impossible"""

    @property
    def kinds(self) -> list[Resources]:
        """Every kind of node that there can be."""
        return [*self.nodes, *(kind.resources for kind in self.growth)]

    def started_for(self, resources: ResourcesConfig) -> list[Growth]:
        """The nodes that may be started for such workers, those of most workers first."""
        chosen, left = [], self.most_new
        for kind in sorted(self.growth, key=lambda kind: -workers_on(kind.resources, resources)):
            count = kind.count if left is None else min(kind.count, left)
            left = None if left is None else left - count
            if count and workers_on(kind.resources, resources):
                chosen.append(Growth(kind.resources, count))
        return chosen


@dataclass(frozen=True)
class Share:
    """So many nodes alike, each of which holds so many workers."""

    nodes: int
    workers: int
    memory_bytes: float | None
    """What such a node has for Ray; None where nobody knows before it runs"""


@dataclass(frozen=True)
class Capacity:
    """What of the cluster trials can use."""

    trials: int
    """At once: as many as fit, at most `resources.concurrency`"""
    shares: tuple[Share, ...]
    """Of nodes that hold a worker at all"""
    notes: tuple[str, ...] = ()

    @property
    def workers(self) -> int:
        return sum(share.nodes * share.workers for share in self.shares)


def capacity_of(resources: ResourcesConfig, cluster: Cluster, where: str) -> Capacity:
    """A worker must fit one node; a trial's workers may spread over several.

    ``where`` is the space file's name. Raises `UserError` with all that can never be scheduled.
    """
    kinds = [*(Growth(node, 1) for node in cluster.nodes), *cluster.started_for(resources)]
    shares = tuple(
        Share(kind.count, workers, _memory_of(kind.resources))
        for kind in kinds
        if (workers := workers_on(kind.resources, resources))
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
        notes.append(f"resources.concurrency: got {resources.concurrency}, but the cluster holds {fits} at once")
    return Capacity(min(fits, resources.concurrency or fits), shares, tuple(notes))


def workers_on(node: Resources, resources: ResourcesConfig) -> int:
    """How many workers a node holds. A share of a GPU is always of a single one."""
    cpus, gpus = int(node.get("CPU", 0)), int(node.get("GPU", 0))
    fits, wanted = cpus // resources.cpus_per_worker, resources.gpus_per_worker
    if 0 < wanted < 1:
        return min(fits, gpus * int(1 / wanted + SMALLEST_GPU_SHARE))
    return min(fits, gpus // int(wanted)) if wanted else fits


def _impossible_shares(resources: ResourcesConfig) -> Iterator[str]:
    gpus = resources.gpus_per_worker
    if gpus > 1 and not gpus.is_integer():
        yield f"resources.gpus_per_worker: got {gpus:g}, but above 1 only whole GPUs are given; set it to {int(gpus)}"
    if 0 < gpus < 1 < resources.workers:
        yield (
            f"resources.gpus_per_worker: got {gpus:g}, but workers that train one network need a GPU each (NCCL); "
            "set it to 1, or resources.workers to 1"
        )
    if 0 < gpus < SMALLEST_GPU_SHARE:
        yield f"resources.gpus_per_worker: got {gpus:g}; the smallest share is {SMALLEST_GPU_SHARE:f}".rstrip("0")


def _faults(resources: ResourcesConfig, cluster: Cluster, workers: int) -> Iterator[str]:
    """What can never be scheduled, and the nearest that can."""
    cpus, gpus = resources.cpus_per_worker, resources.gpus_per_worker
    most_gpus = max((kind.get("GPU", 0) for kind in cluster.kinds), default=0)
    if gpus and not most_gpus:
        yield (
            f"resources.gpus_per_worker: got {gpus:g}, but the cluster has 0 GPUs; "
            "set resources.gpus_per_worker=0 to train on CPUs"
        )
    elif gpus > most_gpus:
        yield (
            f"resources.gpus_per_worker: got {gpus:g}, but no node has more than {counted(most_gpus, 'GPU')}; "
            f"set resources.gpus_per_worker={most_gpus:g}"
        )
    with_gpus = [kind for kind in cluster.kinds if kind.get("GPU", 0) >= min(gpus, most_gpus)]
    most_cpus = int(max((kind.get("CPU", 0) for kind in with_gpus), default=0))
    if not most_cpus:
        yield "resources.cpus_per_worker: no node gives CPUs to trials; start nodes that do (ray start --num-cpus=N)"
    elif cpus > most_cpus:
        node = f"node with {counted(min(gpus, most_gpus), 'GPU')}" if gpus and most_gpus else "node"
        yield (
            f"resources.cpus_per_worker: got {cpus}, but no {node} has more than {counted(most_cpus, 'CPU')}; "
            f"set resources.cpus_per_worker={most_cpus}"
        )
    if 0 < workers < resources.workers:
        yield (
            f"resources.workers: got {resources.workers}, but the cluster holds {workers} such workers "
            f"(CPU {cpus}, GPU {gpus:g} each); set resources.workers={workers}, or add nodes"
        )


def _notes(resources: ResourcesConfig, cluster: Cluster) -> Iterator[str]:
    gpus = sum(node.get("GPU", 0) for node in cluster.nodes)
    if gpus and not resources.gpus_per_worker:
        yield f"{counted(gpus, 'GPU')} idle; --set resources.gpus_per_worker=1 uses them"
    if count := sum(kind.count for kind in cluster.started_for(resources)):
        yield f"{count} of the nodes that are counted on are yet to be started by the cluster's autoscaler"


def counted(number: float, name: str) -> str:
    """``1 CPU``, ``2 CPUs``."""
    return f"{number:g} {name}{'' if number == 1 else 's'}"


def _memory_of(node: Resources) -> float | None:
    """All that Ray may hand out; object store included, as trials put nothing there."""
    return node["memory"] + node.get("object_store_memory", 0) if "memory" in node else None


def configured(nodes: tuple[Resources, ...], config: Mapping[str, Any]) -> Cluster:
    """``nodes``, and what an autoscaler of this config may start beside them."""
    most, head = config.get("max_workers", 0), config["head_node_type"]
    kinds = [
        (kind.get("resources") or {}, kind.get("max_workers", 0 if name == head else most))
        for name, kind in config["available_node_types"].items()
    ]
    return growing(nodes, kinds, most)


def growing(nodes: tuple[Resources, ...], kinds: Iterable[tuple[Resources, int]], most: int | None = None) -> Cluster:
    """``nodes`` and more: ``kinds`` has resources, {} where nobody knows them, and how many there may be, -1 for no
    limit; ``most``: of all kinds together. The head does not count."""
    workers = [node for node in nodes if HEAD not in node]
    growth, is_open = [], False
    for resources, limit in kinds:
        running = sum(not resources or _size(node) == _size(resources) for node in workers)
        count = (MOST_NODES if limit < 0 else limit) - running
        if count > 0 and resources:
            growth.append(Growth(resources, count))
        is_open = is_open or (count > 0 and not resources)
    return Cluster(nodes, tuple(growth), None if most is None else max(0, most - len(workers)), is_open)


def _size(node: Resources) -> tuple[float, float]:
    return node.get("CPU", 0), node.get("GPU", 0)
