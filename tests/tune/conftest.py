"""Searches that run in the test's own process, and one Ray for all of them."""

import logging
from collections.abc import Iterator

import in_process
import pytest
from small_study import small_study

__all__ = ["small_study"]


@pytest.fixture(scope="session")
def running_ray(session_cache: None) -> Iterator[str]:
    """The address of a Ray with two CPUs on this machine; this process is connected to it."""
    import ray

    logging.getLogger("ray").setLevel(logging.CRITICAL)
    options = {"include_dashboard": False, "log_to_driver": False, "logging_level": logging.CRITICAL}
    yield ray.init(address="local", num_cpus=2, **options).address_info["gcs_address"]
    ray.shutdown()


@pytest.fixture(scope="module")
def shared_ray(running_ray: str) -> Iterator[str]:
    """Searches in this process use `running_ray`; its address."""
    with in_process.using_running_ray():
        yield running_ray
