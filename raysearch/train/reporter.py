"""The interface through which a training reports metrics and learns that it must stop."""

from collections.abc import Mapping
from typing import Any, Protocol


class Reporter(Protocol):
    """Receives the metrics of a training, and may stop it between two batches."""

    def report(self, metrics: Mapping[str, Any]) -> None:
        """Receive one line of `metrics.jsonl` with held-out figures. May raise or never return, which ends the
        training."""

    def should_stop(self) -> bool:
        """Called after every batch. True ends the training after one more evaluation."""
