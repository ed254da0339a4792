"""Starts Ray, or connects to a running cluster, without its output."""

import logging
import os
import platform
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from raysearch.errors import UserError

CONNECT_S = 5.0
"""Seconds to wait for an answer at a cluster's address."""

# Ray reads these when it is imported or started, so they are set before that.
SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",  # hide the GPUs from a trial that requests none
    "RAY_TRAIN_V2_ENABLED": "1",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # a relative --data means the same folder in a trial as in the command
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # raysearch.tune.stopping handles Ctrl-C
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",  # rarely, because raysearch never reads Tune's own state
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}


class _Session:
    is_open = False


_session = _Session()


@contextmanager
def ray_session(address: str | None) -> Iterator[None]:
    """Start Ray on this machine, or connect to the cluster at ``address``. Shuts down or disconnects at the end.

    Within another session, the block uses that one.

    Raises `UserError` if Ray does not start or no cluster answers at ``address``.
    """
    if _session.is_open:
        yield
        return
    os.environ.update(SETTINGS)
    if address not in (None, "auto", "local"):
        _require_listener(address)
    import ray

    for name in ("ray", "ray.tune", "ray.train"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # the searcher reports and stores a trial's failure
    try:
        # Without an address, ray.init would connect to any cluster that runs on this machine.
        ray.init(
            address=address or "local",
            include_dashboard=False if address is None else None,
            log_to_driver=False,
            logging_level=logging.CRITICAL,
        )
    except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        if address is None:
            raise UserError(f"Ray does not start on this machine ({error})") from error
        if "version mismatch" in str(error).lower():
            raise UserError(
                f"--address {address}: the cluster has another version of Ray or Python than this command, which has "
                f"Ray {ray.__version__} and Python {platform.python_version()} ({' '.join(str(error).split())}); "
                "install the same versions on both"
            ) from error
        raise UserError(
            f"--address {address}: cannot connect to a Ray cluster there ({error}); a cluster with token "
            "authentication needs RAY_AUTH_MODE=token and the token in ~/.ray/auth_token"
        ) from error
    _session.is_open = True
    try:
        yield
    finally:
        _session.is_open = False
        ray.shutdown()


def _require_listener(address: str) -> None:
    """Check that something listens at ``address``. Ray itself would wait for minutes."""
    if "://" in address:
        raise UserError(
            f"--address {address}: a search does not run through Ray Client; give HOST:PORT, or run the command with "
            "--address auto on a node of the cluster"
        )
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise UserError(f"--address {address}: expected HOST:PORT or auto")
    try:
        socket.create_connection((host, int(port)), timeout=CONNECT_S).close()
    except (OSError, OverflowError) as error:
        raise UserError(f"--address {address}: nothing answers there ({error}); is the cluster running?") from error
