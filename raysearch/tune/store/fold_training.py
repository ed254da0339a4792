"""The trainings of a trial: one or, in a study with `data.folds`, one per fold. Ray Tune runs each as a Tune trial."""

from typing import NamedTuple

from raysearch.config import TrainingConfig
from raysearch.io import read_yaml, write_yaml
from raysearch.paths import StudyPaths, TrialPaths


class FoldTraining(NamedTuple):
    """One training of a trial."""

    number: int
    """Number of the trial in the study"""
    fold: int | None = None
    """The fold that it holds out; None in a study without folds"""

    @property
    def name(self) -> str:
        return f"trial {self.number}" if self.fold is None else f"trial {self.number}, fold {self.fold}"

    def within(self, paths: StudyPaths) -> TrialPaths:
        """The training's folder."""
        trial = paths.trial(self.number)
        return trial if self.fold is None else trial.fold(self.fold)


def list_fold_trainings(number: int, folds: int | None) -> list[FoldTraining]:
    """List the trainings of trial ``number``, in the order in which they start."""
    return [FoldTraining(number, fold) for fold in range(folds)] if folds else [FoldTraining(number)]


def prepare_config(trial_config: TrainingConfig, training: FoldTraining, paths: StudyPaths) -> TrainingConfig:
    """The config of ``training``: the trial's config and, with folds, the fold that it holds out.

    The config of a fold is written to its folder once. All folds have the trial's seed and differ in `data.fold` only.
    """
    if training.fold is None:
        return trial_config
    path = training.within(paths).config
    if path.is_file():  # may have smaller batches than the trial's config, after it ran out of memory
        return TrainingConfig.model_validate(read_yaml(path))
    data = trial_config.data.model_copy(update={"fold": training.fold})
    config = trial_config.model_copy(update={"data": data})
    write_yaml(path, config.model_dump())
    return config
