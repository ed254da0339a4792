"""Stops the search if the Ray node of the driver dies. Tune would wait for ever for actors that no node starts."""

import os
import sys
import time
from typing import Any

import ray
from ray import tune

from raysearch.errors import StudyError
from raysearch.paths import StudyPaths

EVERY_S = 2.0
"""Seconds between two checks."""
MISSES = 3
"""Consecutive failed checks after which the node counts as dead."""
GRACE_S = 8.0
"""Seconds that the search has to end after its node died. Then the process exits, because calls to Ray may never
return."""


class NodeWatch(tune.Callback):
    """Raises `StudyError` at Tune's next step once the node of this process is dead; exits if no step follows."""

    def __init__(self, paths: StudyPaths) -> None:
        self.message = (
            f"{paths.root}: Ray on this machine died (it was killed or ran out of memory); everything trained so far "
            "is kept, continue with --resume"
        )
        self._node_id = ray.get_runtime_context().get_node_id()
        self._missed, self._is_dead = 0, False
        self.has_ended = False
        """Set when the search is over, so that the end of Ray is not an error."""

    def check(self) -> float:
        """Check the node, in a thread. Returns the seconds until the next check."""
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
        os._exit(2)  # not sys.exit, which would wait for the thread that is blocked in Ray

    def _is_alive(self) -> bool:
        try:
            return any(node["NodeID"] == self._node_id and node["Alive"] for node in ray.nodes())
        except Exception:  # the cluster's head does not answer
            return False

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        if self._is_dead:
            raise StudyError(self.message)

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles its callbacks for Tuner.restore, which raysearch does not use
