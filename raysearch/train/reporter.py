"""What a training sees of whoever hosts it."""

from collections.abc import Mapping
from typing import Any, Protocol


class Reporter(Protocol):
    """The host's side of a training: hears its figures, and may end it between two batches."""

    def report(self, metrics: Mapping[str, Any]) -> None:
        """Takes one line of `metrics.jsonl` that holds held-out figures. It may not return."""

    def should_stop(self) -> bool:
        """Asked after every batch; True ends the training after one more look at the held-out split."""
