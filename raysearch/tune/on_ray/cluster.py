"""Ray, quiet and only where it was asked for."""

import logging
import os
import platform
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from raysearch.errors import UserError

CONNECT_S = 5.0
"""Seconds that a cluster has to answer at its address."""

# Read when Ray is imported or started, so set before either.
SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",  # a trial that asked for no GPU sees none
    "RAY_TRAIN_V2_ENABLED": "1",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # a relative --data means the same in a trial as in the command
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C stops trials our way
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",  # Tune's own state is never read again
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}


@contextmanager
def ray_session(address: str | None) -> Iterator[None]:
    """Ray, as a cluster of its own on this machine or the one at ``address``; left as found.

    Raises `UserError` where no cluster answers at ``address``.
    """
    os.environ.update(SETTINGS)
    if address not in (None, "auto", "local"):
        _require_listener(address)
    import ray

    for name in ("ray", "ray.tune", "ray.train"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # a trial's failure is told, and kept, by the searcher
    try:
        # A bare init would join whatever cluster happens to run.
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
                f"--address {address}: the cluster has another Ray or Python than this command, which has Ray "
                f"{ray.__version__} and Python {platform.python_version()} ({' '.join(str(error).split())}); "
                "install the same versions here and there"
            ) from error
        raise UserError(
            f"--address {address}: no Ray cluster can be joined there ({error}); a cluster with token authentication "
            "wants RAY_AUTH_MODE=token and the token in ~/.ray/auth_token"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def _require_listener(address: str) -> None:
    """Ray itself waits for minutes on an address where nobody listens."""
    if "://" in address:
        raise UserError(
            f"--address {address}: a search does not run through Ray Client; give HOST:PORT, or run the command on a "
            "node of the cluster with --address auto"
        )
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise UserError(f"--address {address}: HOST:PORT or auto must be given")
    try:
        socket.create_connection((host, int(port)), timeout=CONNECT_S).close()
    except (OSError, OverflowError) as error:
        raise UserError(f"--address {address}: nothing answers there ({error}); is the cluster up?") from error
