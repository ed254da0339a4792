"""The events of a search, and the interface of those who receive them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from raysearch.config import TrainingConfig
from raysearch.ensemble.scores import Measured


@dataclass(frozen=True)
class EnsembleNow(Measured):
    """The greedy ensemble of the trials that have ended so far. A quick preview of `raysearch.ensemble`'s estimate."""

    members: int
    accuracy: float
    """On held_out, cross-fitted: measured on samples that were not used to select the ensemble"""
    log_loss: float
    """The same, in nats"""
    balanced_accuracy: float | None = None
    """The same; given if it is the search's objective"""


class Listener(Protocol):
    """Receives the events of a search, in the driver's process, one call at a time."""

    def started(self, number: int, config: TrainingConfig, epochs_done: int) -> None:
        """A trial starts, or resumes after ``epochs_done`` epochs."""

    def reported(self, number: int, report: Mapping[str, Any]) -> None:
        """A running trial reports an evaluation (`report_of`).

        With `data.folds`, the evaluation is of the fold ``report["fold"]``, and epochs count those of all folds.
        """

    def ended(self, number: int, result: Mapping[str, Any]) -> None:
        """A trial is COMPLETE, PRUNED or FAIL. ``result`` is its `result.json`."""

    def interrupted(self, number: int, reason: str) -> None:
        """A trial's process died. The trial restarts from its checkpoint."""

    def estimated(self, ensemble: EnsembleNow) -> None:
        """The ensemble of the ended trials has been estimated."""

    def noted(self, text: str) -> None:
        """A message that the user should read: a pause, a retry, a stop."""
