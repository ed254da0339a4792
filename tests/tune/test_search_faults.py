"""A cluster that a search cannot join: one clear error, from the real command."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray
from ray._common.usage.usage_constants import CLUSTER_METADATA_KEY
from ray._private.ray_constants import KV_NAMESPACE_CLUSTER

pytestmark = pytest.mark.slow

SPACE = """
study: toy
data: {source: digits, train_per_class: 4, held_out_per_class: 4}
search: {trials: 1, scheduler: none}
trial: {backbone: wrn_10_1, image_size: 16, epochs: 1, batch_size: 20, augment: {policy: none, crop_padding: 2}}
"""


@pytest.fixture
def cluster_of_another_ray(running_ray: str) -> Iterator[str]:
    """The address of a cluster that, by its own account, was started by another Ray."""
    gcs = ray._private.worker.global_worker.gcs_client
    stored = gcs.internal_kv_get(CLUSTER_METADATA_KEY, namespace=KV_NAMESPACE_CLUSTER)
    other = json.dumps({**json.loads(stored), "ray_version": "2.40.0"}).encode()
    gcs.internal_kv_put(CLUSTER_METADATA_KEY, other, True, namespace=KV_NAMESPACE_CLUSTER)
    yield running_ray
    gcs.internal_kv_put(CLUSTER_METADATA_KEY, stored, True, namespace=KV_NAMESPACE_CLUSTER)


def test_a_ray_of_another_version_is_named(tmp_path: Path, cluster_of_another_ray: str) -> None:
    (tmp_path / "toy.yaml").write_text(SPACE)
    command = [sys.executable, "-m", "raysearch.tune", str(tmp_path / "toy.yaml"), "--out", str(tmp_path / "runs")]
    # As for any cluster with tokens, Ray's default: its own local ones have one, too.
    environment = {**os.environ, "RAY_AUTH_MODE": "token"}
    words = ["--address", cluster_of_another_ray]
    done = subprocess.run([*command, *words], capture_output=True, text=True, timeout=180, env=environment)
    assert done.returncode == 2, done.stderr
    (error,) = done.stderr.splitlines()
    assert f"--address {cluster_of_another_ray}: the cluster has another version of Ray or Python than" in error
    assert "2.40.0" in error
    assert error.endswith("install the same versions on both")
    assert not (tmp_path / "runs").exists()
