"""What a user meets who starts a search that cannot run: one clear error each, from real commands."""

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SPACE = """
study: toy
data: {source: digits, train_per_class: 4, held_out_per_class: 4}
search: {trials: 1, scheduler: none}
trial:
  backbone: wrn_10_1
  image_size: 16
  epochs: 100000
  batch_size: 20
  augment: {policy: none, hflip: 0, crop_padding: 2}
"""
OTHER_RAY = textwrap.dedent(
    """
    import json, sys

    import ray
    from ray._common.usage.usage_constants import CLUSTER_METADATA_KEY
    from ray._private.ray_constants import KV_NAMESPACE_CLUSTER

    context = ray.init(address="local", num_cpus=1, include_dashboard=False, logging_level="CRITICAL")
    gcs = ray._private.worker.global_worker.gcs_client
    known = json.loads(gcs.internal_kv_get(CLUSTER_METADATA_KEY, namespace=KV_NAMESPACE_CLUSTER))
    told = json.dumps({**known, "ray_version": "2.40.0"}).encode()
    gcs.internal_kv_put(CLUSTER_METADATA_KEY, told, True, namespace=KV_NAMESPACE_CLUSTER)
    print(context.address_info["gcs_address"], flush=True)
    sys.stdin.read()
    """
)


def command(folder: Path, *words: str) -> list[str]:
    (folder / "toy.yaml").write_text(SPACE)
    return [sys.executable, "-m", "raysearch.tune", str(folder / "toy.yaml"), "--out", str(folder / "runs"), *words]


def refused(folder: Path, *words: str) -> str:
    # As for any cluster with tokens, Ray's default: its own local ones have one, too.
    environment = {**os.environ, "RAY_AUTH_MODE": "token"}
    done = subprocess.run(command(folder, *words), capture_output=True, text=True, timeout=180, env=environment)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


@pytest.fixture
def cluster_of_another_ray() -> Iterator[str]:
    """The address of a cluster that says of itself to have been started by another Ray."""
    with subprocess.Popen(
        [sys.executable, "-c", OTHER_RAY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as cluster:
        assert cluster.stdin is not None
        assert cluster.stdout is not None
        yield cluster.stdout.readline().strip()
        cluster.stdin.close()


def test_a_ray_of_another_version_is_named(tmp_path: Path, cluster_of_another_ray: str) -> None:
    error = refused(tmp_path, "--address", cluster_of_another_ray)
    assert f"--address {cluster_of_another_ray}: the cluster has another Ray or Python than this command" in error
    assert "2.40.0" in error
    assert error.rstrip().endswith("install the same versions here and there")
    assert not (tmp_path / "runs").exists()


def test_a_study_that_a_driver_runs_is_refused_with_its_process_and_host(tmp_path: Path) -> None:
    resume = tmp_path / "runs" / "toy" / "trials" / "0000" / "checkpoints" / "resume.pt"
    with subprocess.Popen(command(tmp_path, "--json"), stdout=subprocess.PIPE, text=True) as driver:
        assert driver.stdout is not None
        while not resume.is_file():
            assert driver.stdout.readline(), "the driver ended"
        error = refused(tmp_path, "--resume")
        driver.terminate()
        driver.communicate(timeout=60)
    host = subprocess.run(["hostname"], capture_output=True, text=True, check=True).stdout.strip()
    assert f"a search is running on it (process {driver.pid} on {host})" in error
    assert driver.returncode == 0


def test_gpus_where_there_are_none_are_refused_with_what_to_set(tmp_path: Path) -> None:
    error = refused(tmp_path, "--set", "resources.gpus_per_worker=1")
    assert "resources.gpus_per_worker" in error
    assert "the cluster has 0 GPUs" in error
    assert "resources.gpus_per_worker=0" in error
