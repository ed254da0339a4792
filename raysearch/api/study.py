"""A study's folder as plain objects."""

from pathlib import Path

from raysearch.config import TrainingConfig
from raysearch.ensemble.results import Ensemble, read_ensemble
from raysearch.errors import StudyError, did_you_mean
from raysearch.io import display_path, read_yaml
from raysearch.paths import StudyPaths
from raysearch.predictions import Predictions, read_predictions
from raysearch.report.reading import read_study
from raysearch.report.study import Study as StoredStudy
from raysearch.report.study import Trial
from raysearch.section import validate


def open_study(folder: str | Path) -> "Study":
    """Read the study in ``folder``, finished or still running. Raises `StudyError`, which names malformed files."""
    return Study(Path(folder))


class Study:
    """A study, as it was when it was opened. Made by `raysearch.open_study` and `raysearch.search`."""

    def __init__(self, folder: Path) -> None:
        self._paths = StudyPaths(folder).require()
        self._stored: StoredStudy = read_study(folder)

    def __repr__(self) -> str:
        return (
            f"<raysearch.Study {display_path(self.folder)}: {len(self.trials)} trials, {len(self.ensembles)} ensembles>"
        )

    @property
    def folder(self) -> Path:
        return self._paths.root

    @property
    def name(self) -> str:
        return self._stored.facts.study

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the columns of predictions."""
        return tuple(self._stored.facts.data.classes)

    @property
    def trials(self) -> tuple[Trial, ...]:
        """All trials by number: state, value, backbone, sampled parameters, learning curve, scores by view."""
        return self._stored.trials

    @property
    def leaderboard(self) -> tuple[Trial, ...]:
        """The trials that have a value, the best first."""
        return tuple(trial for trial in self._stored.ranked if trial.value is not None)

    def config(self, trial: int) -> TrainingConfig:
        """The whole config of a trial. Raises `UserError` if it has none."""
        path = self._paths.trial(trial).config
        return validate(TrainingConfig, read_yaml(path), display_path(path))

    def predictions(self, trial: int, view: str | None = None) -> Predictions:
        """Held-out predictions of a trial: `sample_ids`, `labels`, `classes`, and `probs` float32 [samples, classes].

        ``view``: one of the trial's `views`, such as `teacher-final`; None: its `best_view`. Raises `StudyError` if the
        trial has no such predictions, and `PredictionsError` for a damaged file.
        """
        stored = {one.number: one for one in self.trials}
        if trial not in stored:
            raise StudyError(f"{display_path(self.folder)}: no trial {trial}{did_you_mean(trial, map(str, stored))}")
        views = self._paths.trial(trial).stored_views()
        chosen = view or stored[trial].best_view
        if chosen not in views:
            raise StudyError(f"trial {trial}: no predictions of view {chosen!r}{did_you_mean(chosen, views)}")
        return read_predictions(self._paths.trial(trial).predictions(chosen))

    @property
    def ensembles(self) -> dict[str, Ensemble]:
        """The ensembles that have been built, by name: members, weights, cross-fitted figures, recommendation."""
        return {one.name: read_ensemble(self._paths.ensemble(one.name)) for one in self._stored.ensembles}
