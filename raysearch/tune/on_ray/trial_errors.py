"""What Tune knows of a trial's end and does not tell a searcher."""

import pickle
from pathlib import Path
from typing import Any

from ray import cloudpickle, tune

from raysearch.tune.on_ray.ray_private import error_file_of


class TrialErrors(tune.Callback):
    """Keeps Tune's trials by their ids, so that their errors can be asked for."""

    def __init__(self) -> None:
        self._trials: dict[str, Any] = {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._trials[trial.trial_id] = trial

    def of(self, trial_id: str) -> Exception | None:
        """The error that ended a trial; None where there is none to read."""
        trial = self._trials.pop(trial_id, None)
        path = error_file_of(trial) if trial is not None else None
        if not path or not Path(path).is_file():
            return None
        try:
            error: Exception = cloudpickle.loads(Path(path).read_bytes())
        except (pickle.UnpicklingError, AttributeError, ImportError, TypeError, EOFError):
            return None
        return error

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles its callbacks for Tuner.restore, which is not used here

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._trials = {}
