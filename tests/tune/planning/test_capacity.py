"""What a cluster holds, and what it can never hold."""

from collections.abc import Sequence
from typing import Any

import pytest
import yaml

from raysearch.errors import UserError
from raysearch.space import ResourcesConfig
from raysearch.tune.planning.capacity import (
    HEAD,
    Cluster,
    Growth,
    add_growth,
    compute_capacity,
    count_workers,
    read_autoscaler_config,
)

TWO_CORES = {"CPU": 2.0, "memory": 6e9, "object_store_memory": 2e9}
EIGHT_GPUS = {"CPU": 64.0, "GPU": 8.0, "memory": 4e11}
HEAD_OF_CLOUD = {HEAD: 1.0, "memory": 8e9}
CLOUD = """
max_workers: 8
head_node_type: head
available_node_types:
  head: {resources: {CPU: 0}, max_workers: 0}
  spot: {resources: {CPU: 8, GPU: 1}, max_workers: 8}
  on_demand: {resources: {CPU: 8, GPU: 1}}
  small: {resources: {CPU: 2}}
"""


def held(nodes: Sequence[dict[str, float]], **resources: Any) -> int:
    return compute_capacity(ResourcesConfig(**resources), Cluster(tuple(nodes)), "toy.yaml").trials


def refusal(cluster: Cluster, **resources: Any) -> list[str]:
    with pytest.raises(UserError) as refused:
        compute_capacity(ResourcesConfig(**resources), cluster, "toy.yaml")
    return refused.value.faults


@pytest.mark.parametrize(
    ("nodes", "resources", "trials"),
    [
        ([TWO_CORES], {}, 2),
        ([TWO_CORES] * 3, {"cpus_per_worker": 2}, 3),
        ([TWO_CORES] * 3, {"workers": 3}, 2),  # the second one's workers lie on two nodes
        ([TWO_CORES, {"CPU": 3.0}], {"cpus_per_worker": 2}, 2),  # the third core of the larger node is of no use
        ([EIGHT_GPUS], {"workers": 8, "cpus_per_worker": 8, "gpus_per_worker": 1}, 1),
        ([EIGHT_GPUS], {"gpus_per_worker": 0.25}, 32),
        ([EIGHT_GPUS], {"gpus_per_worker": 0.4}, 16),  # no worker has parts of two GPUs
        ([EIGHT_GPUS], {"gpus_per_worker": 1 / 3}, 24),
        ([EIGHT_GPUS], {"cpus_per_worker": 16, "gpus_per_worker": 0.25}, 4),
        ([EIGHT_GPUS, TWO_CORES], {"gpus_per_worker": 2}, 4),
        ([TWO_CORES] * 3, {"concurrency": 2}, 2),
    ],
)
def test_the_number_of_trials_that_fit_at_once(
    nodes: list[dict[str, float]], resources: dict[str, Any], trials: int
) -> None:
    assert held(nodes, **resources) == trials


@pytest.mark.parametrize(
    ("nodes", "resources", "fault"),
    [
        (
            [TWO_CORES],
            {"gpus_per_worker": 1},
            "resources.gpus_per_worker: got 1, but 0 GPUs are available; "
            "set resources.gpus_per_worker=0 to train on CPUs",
        ),
        (
            [EIGHT_GPUS, EIGHT_GPUS],
            {"gpus_per_worker": 16},
            "resources.gpus_per_worker: got 16, but no node has more than 8 GPUs; set resources.gpus_per_worker=8",
        ),
        (
            [TWO_CORES, {"CPU": 4.0}],
            {"cpus_per_worker": 16},
            "resources.cpus_per_worker: got 16, but no node has more than 4 CPUs; set resources.cpus_per_worker=4",
        ),
        (
            [{"CPU": 64.0}, {"CPU": 4.0, "GPU": 1.0}],
            {"cpus_per_worker": 16, "gpus_per_worker": 0.5},
            "resources.cpus_per_worker: got 16, but no node with 0.5 GPUs has more than 4 CPUs; "
            "set resources.cpus_per_worker=4",
        ),
        (
            [TWO_CORES],
            {"workers": 8},
            "resources.workers: got 8, but only 2 such workers fit the cluster (CPU 1, GPU 0 each); "
            "set resources.workers=2, or add nodes",
        ),
        (
            [HEAD_OF_CLOUD],
            {},
            "resources.cpus_per_worker: no node has CPUs for trials; start nodes that do (ray start --num-cpus=N)",
        ),
        (
            [EIGHT_GPUS],
            {"gpus_per_worker": 1.5},
            "resources.gpus_per_worker: got 1.5, but above 1 it must be a whole number; set it to 1",
        ),
        ([EIGHT_GPUS], {"gpus_per_worker": 1e-5}, "resources.gpus_per_worker: got 1e-05; the smallest share is 0.0001"),
    ],
)
def test_what_can_never_be_scheduled_is_refused_with_the_nearest_that_can(
    nodes: list[dict[str, float]], resources: dict[str, Any], fault: str
) -> None:
    assert refusal(Cluster(tuple(nodes)), **resources) == [f"toy.yaml: {fault}"]


def test_every_fault_is_reported_and_its_remedies_together_are_enough() -> None:
    assert len(refusal(Cluster((TWO_CORES,)), cpus_per_worker=4, gpus_per_worker=1)) == 2
    assert held([TWO_CORES], cpus_per_worker=2, gpus_per_worker=0) == 1


def test_a_higher_concurrency_than_fits_is_noted_only() -> None:
    capacity = compute_capacity(ResourcesConfig(concurrency=5), Cluster((TWO_CORES,)), "toy.yaml")
    assert capacity.trials == 2
    assert capacity.notes == ("resources.concurrency: got 5, but only 2 trials fit the cluster",)


def test_idle_gpus_are_noted() -> None:
    (note,) = compute_capacity(ResourcesConfig(), Cluster((EIGHT_GPUS,)), "toy.yaml").notes
    assert note == "8 GPUs idle; --set resources.gpus_per_worker=1 uses them"


def test_a_node_s_memory_counts_its_object_store() -> None:
    nodes = (TWO_CORES, {"CPU": 1.0})
    assert [share.memory_bytes for share in compute_capacity(ResourcesConfig(), Cluster(nodes), "").shares] == [
        8e9,
        None,
    ]


def test_a_fresh_cloud_cluster_holds_what_its_autoscaler_may_start() -> None:
    cluster = read_autoscaler_config((HEAD_OF_CLOUD,), yaml.safe_load(CLOUD))
    capacity = compute_capacity(ResourcesConfig(workers=4, cpus_per_worker=8, gpus_per_worker=1), cluster, "toy.yaml")
    assert capacity.trials == 2, "8 nodes at most, of whichever kind"
    assert "includes 8 nodes that" in capacity.notes[0]
    assert "only 8 such workers fit" in refusal(cluster, workers=9, cpus_per_worker=8, gpus_per_worker=1)[0]
    assert "no node has more than 1 GPU;" in refusal(cluster, gpus_per_worker=2)[0]


def test_nodes_that_the_autoscaler_has_started_are_counted_once() -> None:
    running = {"CPU": 8.0, "GPU": 1.0, "memory": 3e10}
    cluster = read_autoscaler_config((HEAD_OF_CLOUD, running, running), yaml.safe_load(CLOUD))
    capacity = compute_capacity(ResourcesConfig(cpus_per_worker=8, gpus_per_worker=1), cluster, "toy.yaml")
    assert capacity.trials == 8
    assert "includes 6 nodes that" in capacity.notes[0]


def test_nothing_is_impossible_if_nodes_of_unknown_size_may_start() -> None:
    on_premises = add_growth((HEAD_OF_CLOUD,), [({}, 2)], 2)
    assert on_premises.is_open
    capacity = compute_capacity(ResourcesConfig(gpus_per_worker=1), on_premises, "toy.yaml")
    assert capacity.trials == 1
    assert "may start other nodes" in capacity.notes[0]
    assert not add_growth((HEAD_OF_CLOUD, TWO_CORES, TWO_CORES), [({}, 2)], 2).is_open, "all of them run"
    with pytest.raises(UserError, match="whole number"):
        compute_capacity(ResourcesConfig(gpus_per_worker=1.5), on_premises, "toy.yaml")


def test_a_kind_without_limit_is_enough_for_any_search() -> None:
    cluster = add_growth((), [({"CPU": 4}, -1)])
    assert compute_capacity(ResourcesConfig(workers=100, cpus_per_worker=4), cluster, "toy.yaml").trials == 10


def test_workers_are_not_limited_by_resources_that_they_do_not_request() -> None:
    assert count_workers({"CPU": 3.0, "GPU": 1.0}, ResourcesConfig()) == 3
    assert Cluster((), (Growth({"CPU": 1}, 5),), max_new_nodes=2).nodes_to_start(ResourcesConfig()) == [
        Growth({"CPU": 1}, 2)
    ]


@pytest.mark.slow
def test_a_cluster_of_this_machine_alone_has_no_other_nodes(running_ray: str) -> None:
    from raysearch.tune.on_ray.nodes import read_cluster

    cluster = read_cluster()
    assert (len(cluster.nodes), cluster.growth, cluster.is_open) == (1, (), False)
    assert compute_capacity(ResourcesConfig(), cluster, "toy.yaml").trials == 2, "it has two CPUs"
