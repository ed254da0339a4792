"""The trainings of a trial: itself or, in a study with `data.folds`, one a fold; each is a Ray Tune trial."""

from typing import NamedTuple

from raysearch.config import TrainingConfig
from raysearch.io import read_yaml, write_yaml
from raysearch.paths import StudyPaths, TrialPaths


class FoldTraining(NamedTuple):
    """One training of a trial."""

    number: int
    """The trial's, in the study"""
    fold: int | None = None
    """That it holds out; None where it is the whole trial"""

    @property
    def name(self) -> str:
        return f"trial {self.number}" if self.fold is None else f"trial {self.number}, fold {self.fold}"

    def within(self, paths: StudyPaths) -> TrialPaths:
        """Its folder."""
        trial = paths.trial(self.number)
        return trial if self.fold is None else trial.fold(self.fold)


def fold_trainings(number: int, folds: int | None) -> list[FoldTraining]:
    """The trainings of trial ``number``, in the order in which they start."""
    return [FoldTraining(number, fold) for fold in range(folds)] if folds else [FoldTraining(number)]


def config_of(training: TrainingConfig, part: FoldTraining, paths: StudyPaths) -> TrainingConfig:
    """What a part trains: its trial's ``training`` and, of a fold, with that held out. A fold's is written once.

    All folds have the trial's seed: `data.fold` is all that they differ in.
    """
    if part.fold is None:
        return training
    config = part.within(paths).config
    if config.is_file():  # its batches may have been halved since
        return TrainingConfig.model_validate(read_yaml(config))
    own = training.model_copy(update={"data": training.data.model_copy(update={"fold": part.fold})})
    write_yaml(config, own.model_dump())
    return own
