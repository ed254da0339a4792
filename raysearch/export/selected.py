"""What an export starts from: an ensemble of a study, its members' stored predictions, and the data."""

import shlex
from dataclasses import dataclass

import numpy as np

from raysearch.config import DataConfig, TrainingConfig
from raysearch.data import Dataset
from raysearch.ensemble import Ensemble, Library, ensemble_probs, read_ensemble
from raysearch.errors import PredictionsError, StudyError
from raysearch.io import display_path
from raysearch.paths import StudyPaths
from raysearch.predictions import check_aligned, read_predictions
from raysearch.study_file import read_study_file
from raysearch.train.stage import open_training_data


@dataclass(frozen=True)
class SelectedEnsemble:
    """An ensemble whose members' predictions are all there and belong together."""

    paths: StudyPaths
    study: str
    data: DataConfig
    """The study's, or moved to another source"""
    fingerprint: str
    """Of the study's data"""
    ensemble: Ensemble
    library: Library
    """The members' stored predictions, in the members' order"""

    @property
    def probs(self) -> np.ndarray:
        """float64 [samples, classes]: what the ensemble says of the held-out split, from the stored predictions"""
        return ensemble_probs(self.ensemble, self.library)

    def open_data(self, training: TrainingConfig) -> Dataset:
        """The study's data as ``training`` has left it in the cache, where it has not moved.

        Raises `StudyError` when its fingerprint is no longer that of the study.
        """
        dataset = open_training_data(training.model_copy(update={"data": self.data}))
        if dataset.fingerprint != self.fingerprint:
            raise StudyError(
                f"{display_path(self.paths.study)}: the study was made with other data than {self.data.source} holds "
                f"now (fingerprint {self.fingerprint[:12]}, not {str(dataset.fingerprint)[:12]}); give the data as "
                "it was, with --data if it has moved"
            )
        return dataset


def read_selected(paths: StudyPaths, name: str, source: str | None = None) -> SelectedEnsemble:
    """The ensemble ``name`` of a study; ``source`` replaces where the study's data lay.

    Raises `StudyError` for what is no study or no ensemble of it, and `PredictionsError` for predictions that are
    missing, of other data, or of other weights than were selected.
    """
    study = read_study_file(paths)
    _require_ensemble(paths, name)
    ensemble = read_ensemble(paths.ensemble(name))
    data = study.space.data.model_copy(update={"source": source} if source else {})
    library = _read_library(paths, ensemble)
    selected = SelectedEnsemble(paths, study.study, data, study.data.fingerprint, ensemble, library)
    ensemble_probs(ensemble, library)  # refuses what does not belong together
    return selected


def _require_ensemble(paths: StudyPaths, name: str) -> None:
    if not paths.ensemble(name).is_file():
        known = ", ".join(sorted(path.stem for path in paths.ensembles.glob("*.json"))) or "none yet"
        raise StudyError(
            f"{display_path(paths.ensemble(name))}: no such ensemble; known: {known}; "
            f"`python -m raysearch.ensemble {shlex.quote(display_path(paths.root))}` makes one"
        )


def _read_library(paths: StudyPaths, ensemble: Ensemble) -> Library:
    faults: list[str] = []
    candidates = []
    files = [paths.trial(member.trial).predictions(member.view) for member in ensemble.members]
    for path in files:
        try:
            candidates.append(read_predictions(path))
        except PredictionsError as error:
            faults += error.faults
    if faults:
        raise PredictionsError(faults)
    check_aligned(candidates, [display_path(path) for path in files])
    return Library(tuple(candidates))
