"""`--json`: what happens in a search, one JSON object a line."""

import json
import math
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from datetime import UTC, datetime
from typing import Any, Self

from raysearch.config import TrainingConfig
from raysearch.space.schema import SearchObjective
from raysearch.tune.display.lines import Figures, epochs_of
from raysearch.tune.listener import EnsembleNow


class JsonLines:
    """``{"event": "reported", "time": "2026-01-31T12:00:00.000+00:00", "trial": 3, ...}`` to stdout, event by event.

    ``objective`` and ``value`` mean the same at a look and in a result: what decides within the training. What is no
    finite number is null. What others print meanwhile goes to stderr.
    """

    def __init__(self, objective: SearchObjective) -> None:
        self.figures = Figures(objective)
        self._stdout = sys.stdout
        self._elsewhere = redirect_stdout(sys.stderr)

    def __enter__(self) -> Self:
        self._elsewhere.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._elsewhere.__exit__(None, None, None)

    def started(self, number: int, config: TrainingConfig, epochs_done: int) -> None:
        trial = config.trial
        self._tell("started", trial=number, backbone=trial.backbone, epochs=epochs_of(config), epochs_done=epochs_done)

    def reported(self, number: int, report: Mapping[str, Any]) -> None:
        keys = ("fold", "epoch", "epochs", "percent", "is_whole", "seconds")
        told = {key: report[key] for key in keys if key in report}
        objective, value = self.figures.name.replace(" ", "_"), self.figures.of_look(report)
        self._tell("reported", trial=number, objective=objective, value=value, **told)

    def ended(self, number: int, result: Mapping[str, Any]) -> None:
        self._tell("ended", trial=number, **{key: value for key, value in result.items() if key != "trial_number"})

    def interrupted(self, number: int, reason: str) -> None:
        self._tell("interrupted", trial=number, reason=reason)

    def estimated(self, ensemble: EnsembleNow) -> None:
        self._tell("estimated", members=ensemble.members, accuracy=ensemble.accuracy, log_loss=ensemble.log_loss)

    def noted(self, text: str) -> None:
        self._tell("noted", text=text)

    def _tell(self, event: str, **details: Any) -> None:
        line = {"event": event, "time": datetime.now(UTC).isoformat(timespec="milliseconds"), **details}
        print(json.dumps(_plain(line), allow_nan=False), file=self._stdout, flush=True)


def _plain(value: Any) -> Any:
    """``value`` as JSON can hold it."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value if isinstance(value, str | int | None) else str(value)
