"""What the search tells whoever watches it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from raysearch.config import TrainingConfig


@dataclass(frozen=True)
class EnsembleNow:
    """The greedy ensemble of the trials that have ended so far; a first look, not `raysearch.ensemble`'s estimate."""

    members: int
    accuracy: float
    """Held-out, cross-fitted: on samples that did not choose it."""
    log_loss: float
    """The same, in nats."""


class Listener(Protocol):
    """Hears what becomes of the trials, in the driver's process, one call at a time."""

    def started(self, number: int, config: TrainingConfig, epochs_done: int) -> None:
        """A trial begins, or goes on after so many epochs."""

    def reported(self, number: int, report: Mapping[str, Any]) -> None:
        """A look of a running trial, as `report_of` makes it; with `data.folds` one of its fold ``report["fold"]``, in
        which epochs are those of all folds."""

    def ended(self, number: int, result: Mapping[str, Any]) -> None:
        """A trial is COMPLETE, PRUNED or FAIL: its `result.json`."""

    def interrupted(self, number: int, reason: str) -> None:
        """A trial's process died; it will start again, from its checkpoint."""

    def estimated(self, ensemble: EnsembleNow) -> None:
        """What the trials so far make together."""

    def noted(self, text: str) -> None:
        """A sentence that the user should read: a pause, a retry, a stop."""
