"""The trainings whose weights a member uses: its trial, the folds of its trial, or the refits of its trial."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from raysearch.config import DataConfig, TrainingConfig
from raysearch.data.dataset import Dataset
from raysearch.errors import PredictionsError, StudyError
from raysearch.export.refitted import Refit
from raysearch.io import display_path, read_yaml
from raysearch.paths import StudyPaths, TrialPaths
from raysearch.predictions import Predictions, read_predictions
from raysearch.section import validate
from raysearch.train.stage import open_training_data


@dataclass(frozen=True)
class Training:
    """A finished training and its data."""

    study: StudyPaths
    paths: TrialPaths
    data: DataConfig
    """The study's data, with its current location; for a fold, held_out is the fold's images"""
    fingerprint: str
    """SHA-256 of the data when the study began"""
    suffix: str = ""
    """Suffix of the folder name in the set, after trial and role"""
    fold: int | None = None
    """Index of the fold, in a study with folds"""
    refit: int | None = None
    """Number of the trial in the refit's study"""

    @cached_property
    def config(self) -> TrainingConfig:
        """The training's `config.yaml`. Raises `SpaceError` if it is not valid."""
        return validate(TrainingConfig, read_yaml(self.paths.config), display_path(self.paths.config))

    def open_data(self) -> Dataset:
        """Open train and held_out; they come from the cache if the source has not moved.

        Raises `StudyError` if the data has changed since the study began (the fingerprints differ).
        """
        dataset = open_training_data(self.config.model_copy(update={"data": self.data}))
        if dataset.fingerprint != self.fingerprint:
            raise StudyError(
                f"{display_path(self.study.study)}: the data in {self.data.source} has changed since the study began "
                f"(fingerprint {str(dataset.fingerprint)[:12]}, expected {self.fingerprint[:12]}); restore the data, "
                "or give its new location with --data"
            )
        return dataset

    def read_stored(self, view: str) -> Predictions:
        """Read the stored predictions of its held_out images.

        Raises `PredictionsError` if they are missing or belong to another training.
        """
        path = self.paths.predictions(view)
        predictions = read_predictions(path)
        if predictions.fingerprint != self.fingerprint or predictions.view != view:
            raise PredictionsError(
                f"{display_path(path)}: not the predictions of this training (other view or other data)"
            )
        return predictions


def list_trainings(
    study: StudyPaths, number: int, data: DataConfig, fingerprint: str, refit: Refit | None
) -> tuple[Training, ...]:
    """The trainings of trial ``number``, in the order of folds or seeds. ``data``: of the study."""
    if refit:
        return tuple(_list_refits(refit, number, data.source))
    trial, folds = study.trial(number), data.trainings
    if folds is None:
        return (Training(study, trial, data, fingerprint),)
    return tuple(
        Training(study, trial.fold(k), data.model_copy(update={"fold": k}), fingerprint, f"-fold{k}", fold=k)
        for k in range(folds)
    )


def _list_refits(refit: Refit, number: int, source: str) -> Iterator[Training]:
    data = refit.file.space.data.model_copy(update={"source": source})
    for trial in refit.trials[number]:
        paths, fingerprint = refit.paths.trial(trial), refit.file.data.fingerprint
        yield Training(refit.paths, paths, data, fingerprint, f"-refit{trial}", refit=trial)
