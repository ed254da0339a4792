"""Reads the nodes of the Ray cluster that this process is connected to."""

from collections.abc import Iterator
from pathlib import Path

import ray
import yaml

from raysearch.tune.on_ray.ray_private import has_autoscaler, is_ray_client, reported_node_groups
from raysearch.tune.planning.capacity import Cluster, add_growth, read_autoscaler_config

CONFIG_FLAG = "--autoscaling-config="


def read_cluster() -> Cluster:
    """The nodes of the cluster, and those that its autoscaler may start.

    An autoscaler's config lists its kinds of nodes. Some autoscalers report it to Ray. That of `ray up` and
    `ray start --autoscaling-config` does not; its config file is read if this process runs on the cluster's head.
    Otherwise the kinds are unknown and the cluster is open.
    """
    nodes = tuple(node["Resources"] for node in ray.nodes() if node["Alive"])
    if is_ray_client():
        return Cluster(nodes, is_open=has_autoscaler())
    if (reported := reported_node_groups()) is not None:
        return add_growth(nodes, reported)
    monitors = list(_monitors(ray.get_runtime_context().gcs_address))
    files = [word.partition("=")[2] for words in monitors for word in words if word.startswith(CONFIG_FLAG)]
    if files:
        return read_autoscaler_config(nodes, yaml.safe_load(Path(files[0]).expanduser().read_text()))
    return Cluster(nodes, is_open=not monitors and has_autoscaler())


def _monitors(gcs_address: str) -> Iterator[list[str]]:
    """Command lines of the cluster's monitor processes on this machine. The monitor is the autoscaler."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_text(errors="replace").split("\0")
        except OSError:  # the process has ended
            continue
        if f"--gcs-address={gcs_address}" in words and any(word.endswith("/monitor.py") for word in words):
            yield words
