"""A Ray node that dies under its driver: Tune would wait for ever for actors that nobody starts."""

import os
import sys
import time
from typing import Any

import ray
from ray import tune

from raysearch.errors import StudyError
from raysearch.paths import StudyPaths

EVERY_S = 2.0
MISSES = 3
"""Times in a row that the node is not found alive, until it counts as dead."""
GRACE_S = 8.0
"""Seconds in which a search whose node is dead has to end by itself; Ray's own calls may never return then."""


class NodeWatch(tune.Callback):
    """Ends the search by a `StudyError`, at Tune's next step, once the node of this process is dead."""

    def __init__(self, paths: StudyPaths) -> None:
        self.message = (
            f"{paths.root}: Ray on this machine died (killed, or for want of memory); what was trained is kept, "
            "--resume goes on"
        )
        self._node_id = ray.get_runtime_context().get_node_id()
        self._missed, self._is_dead = 0, False
        self.has_ended = False
        """To be set when the search is over: Ray may then end."""

    def look(self) -> float:
        """For a thread beside the search; returns the seconds until it is to be called again."""
        self._missed = 0 if self._is_alive() else self._missed + 1
        if self._missed < MISSES:
            return EVERY_S
        self._is_dead = True
        time.sleep(GRACE_S)
        if self.has_ended:
            return EVERY_S
        if sys.stdout.isatty():
            print("\x1b[?25h", end="", flush=True)  # a live table hides the cursor
        print(f"error: {self.message}", file=sys.stderr, flush=True)
        os._exit(2)

    def _is_alive(self) -> bool:
        try:
            return any(node["NodeID"] == self._node_id and node["Alive"] for node in ray.nodes())
        except Exception:  # the cluster's head does not answer any more
            return False

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        if self._is_dead:
            raise StudyError(self.message)

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles its callbacks for Tuner.restore, which is not used here
