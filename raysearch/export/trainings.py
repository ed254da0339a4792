"""The trainings whose weights stand for a member: its trial, the trial's folds, or what has been refitted for it."""

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
    """One training that left weights, and the data that it was made with."""

    study: StudyPaths
    paths: TrialPaths
    data: DataConfig
    """The study's, or moved to another source; of a fold with the fold's images as held_out"""
    fingerprint: str
    """Of that data"""
    suffix: str = ""
    """What the name of its folder in the set has after trial and role"""
    fold: int | None = None
    refit: int | None = None
    """The number of the trial, in the refit's own study"""

    @cached_property
    def config(self) -> TrainingConfig:
        """Raises `SpaceError` for a `config.yaml` that is none."""
        return validate(TrainingConfig, read_yaml(self.paths.config), display_path(self.paths.config))

    def open_data(self) -> Dataset:
        """Train and held_out as the training has left them in the cache, where they have not moved.

        Raises `StudyError` when their fingerprint is no longer that of the study.
        """
        dataset = open_training_data(self.config.model_copy(update={"data": self.data}))
        if dataset.fingerprint != self.fingerprint:
            raise StudyError(
                f"{display_path(self.study.study)}: the study was made with other data than {self.data.source} holds "
                f"now (fingerprint {self.fingerprint[:12]}, not {str(dataset.fingerprint)[:12]}); give the data as it "
                "was, with --data if it has moved"
            )
        return dataset

    def stored(self, view: str) -> Predictions:
        """Its own predictions of its held_out images. Raises `PredictionsError` when they are missing or another's."""
        path = self.paths.predictions(view)
        predictions = read_predictions(path)
        if predictions.fingerprint != self.fingerprint or predictions.view != view:
            raise PredictionsError(f"{display_path(path)}: holds {predictions.view} of other data; not this training's")
        return predictions


def trainings_of(
    study: StudyPaths, number: int, data: DataConfig, fingerprint: str, refit: Refit | None
) -> tuple[Training, ...]:
    """The trainings of trial ``number``, in the order of folds or seeds; ``data`` is the study's."""
    if refit:
        return tuple(_of_refit(refit, number, data.source))
    trial, folds = study.trial(number), data.folds
    if folds is None:
        return (Training(study, trial, data, fingerprint),)
    return tuple(
        Training(study, trial.fold(k), data.model_copy(update={"fold": k}), fingerprint, f"-fold{k}", fold=k)
        for k in range(folds)
    )


def _of_refit(refit: Refit, number: int, source: str) -> Iterator[Training]:
    data = refit.file.space.data.model_copy(update={"source": source})
    for trial in refit.trials[number]:
        paths, fingerprint = refit.paths.trial(trial), refit.file.data.fingerprint
        yield Training(refit.paths, paths, data, fingerprint, f"-refit{trial}", refit=trial)
