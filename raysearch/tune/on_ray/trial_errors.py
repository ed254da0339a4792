"""The errors of failed trials, which Tune does not pass to a searcher."""

import pickle
from pathlib import Path
from typing import Any

from ray import cloudpickle, tune

from raysearch.tune.on_ray.ray_private import find_error_file


class TrialErrors(tune.Callback):
    """Keeps Tune's trials, so that the searcher can load their errors.

    Tune writes the error to a file before it calls the searcher's `on_trial_complete`, and calls its callbacks only
    after that. So the trials are kept from their start.
    """

    def __init__(self) -> None:
        self._trials: dict[str, Any] = {}
        """By Tune's trial id"""

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._trials[trial.trial_id] = trial

    def load(self, trial_id: str) -> Exception | None:
        """The error that ended a trial; None if there is none or it cannot be read."""
        trial = self._trials.pop(trial_id, None)
        path = find_error_file(trial) if trial is not None else None
        if not path or not Path(path).is_file():
            return None
        try:
            error: Exception = cloudpickle.loads(Path(path).read_bytes())
        except (pickle.UnpicklingError, AttributeError, ImportError, TypeError, EOFError):
            return None
        return error

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles its callbacks for Tuner.restore, which raysearch does not use

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._trials = {}
