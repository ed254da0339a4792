"""`--json`: the events of a search, one JSON object per line."""

import json
import math
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from datetime import UTC, datetime
from typing import Any, Self

from raysearch.config import TrainingConfig
from raysearch.space.schema import SearchObjective
from raysearch.tune.display.lines import ValueFormat, count_epochs
from raysearch.tune.listener import EnsembleNow


class JsonLines:
    """Prints events such as ``{"event": "reported", "time": "2026-01-31T12:00:00.000+00:00", "trial": 3, ...}`` to
    stdout.

    ``objective`` and ``value`` have the same meaning in reports and results: a held-out figure of the training.
    Numbers that are not finite become null. Output of other code goes to stderr meanwhile.
    """

    def __init__(self, objective: SearchObjective) -> None:
        self.values = ValueFormat(objective)
        self._stdout = sys.stdout
        self._redirection = redirect_stdout(sys.stderr)

    def __enter__(self) -> Self:
        self._redirection.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._redirection.__exit__(None, None, None)

    def started(self, number: int, config: TrainingConfig, epochs_done: int) -> None:
        trial = config.trial
        epochs = count_epochs(config)
        self._print("started", trial=number, backbone=trial.backbone, epochs=epochs, epochs_done=epochs_done)

    def reported(self, number: int, report: Mapping[str, Any]) -> None:
        keys = ("fold", "epoch", "epochs", "percent", "is_whole", "seconds")
        details = {key: report[key] for key in keys if key in report}
        value = self.values.read_report(report)
        self._print("reported", trial=number, objective=self.values.figure, value=value, **details)

    def ended(self, number: int, result: Mapping[str, Any]) -> None:
        self._print("ended", trial=number, **{key: value for key, value in result.items() if key != "trial_number"})

    def interrupted(self, number: int, reason: str) -> None:
        self._print("interrupted", trial=number, reason=reason)

    def estimated(self, ensemble: EnsembleNow) -> None:
        balanced = ensemble.balanced_accuracy
        figures = {} if balanced is None else {"balanced_accuracy": balanced}
        self._print(
            "estimated", members=ensemble.members, accuracy=ensemble.accuracy, log_loss=ensemble.log_loss, **figures
        )

    def noted(self, text: str) -> None:
        self._print("noted", text=text)

    def _print(self, event: str, **details: Any) -> None:
        line = {"event": event, "time": datetime.now(UTC).isoformat(timespec="milliseconds"), **details}
        print(json.dumps(_plain(line), allow_nan=False), file=self._stdout, flush=True)


def _plain(value: Any) -> Any:
    """``value`` as JSON can represent it."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value if isinstance(value, str | int | None) else str(value)
