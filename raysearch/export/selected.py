"""The inputs of an export: an ensemble of a study, the stored predictions and trainings of its members, the data."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from raysearch.config import DataConfig
from raysearch.ensemble.library import Library
from raysearch.ensemble.results import Ensemble, Member, ensemble_probs, read_ensemble
from raysearch.errors import PredictionsError, SetError, StudyError
from raysearch.export.refitted import Refit, read_refit
from raysearch.export.trainings import Training, list_trainings
from raysearch.io import display_path
from raysearch.paths import StudyPaths
from raysearch.predictions import Predictions, check_aligned, read_predictions
from raysearch.study_file import StudyFile, read_study_file


@dataclass(frozen=True)
class SelectedEnsemble:
    """An ensemble with the predictions and trainings of all its members, which are checked to fit together."""

    paths: StudyPaths
    file: StudyFile
    """`study.json` of the study"""
    data: DataConfig
    """The study's data, with its current location"""
    ensemble: Ensemble
    library: Library
    """Stored predictions, in the order of the members"""
    trainings: Mapping[int, tuple[Training, ...]]
    """By trial number: the trainings whose weights its members use; the same number for every trial"""
    refit: Refit | None = None

    @property
    def reference(self) -> Predictions:
        """Predictions of one member: ids and labels of the images on which the set is verified."""
        if self.refit is None:
            return self.library.candidates[0]
        member, trainings = self.members[0]
        return trainings[0].read_stored(member.view)

    @property
    def members(self) -> list[tuple[Member, tuple[Training, ...]]]:
        """Members with their trainings, in the order of the ensemble."""
        return [(member, self.trainings[get_trial_number(member)]) for member in self.ensemble.members]


def read_selected(
    paths: StudyPaths, name: str, source: str | None = None, refit: StudyPaths | None = None
) -> SelectedEnsemble:
    """Read the ensemble ``name`` of a study.

    ``source``: new location of the study's data; ``refit``: folder of the refit whose trainings replace the members'.
    Raises `StudyError` if there is no such study, ensemble or refit, `SetError` for members without weights in the
    study, and `PredictionsError` for predictions that are missing, of other data, or of other weights than selected.
    """
    file = read_study_file(paths)
    _require_ensemble(paths, name)
    ensemble = read_ensemble(paths.ensemble(name))
    _require_weights(paths, ensemble)
    data = file.space.data.model_copy(update={"source": source} if source else {})
    library = _read_library(paths, ensemble)
    refitted = read_refit(refit, paths, ensemble) if refit else None
    numbers = dict.fromkeys(map(get_trial_number, ensemble.members))
    trainings = {number: list_trainings(paths, number, data, file.data.fingerprint, refitted) for number in numbers}
    ensemble_probs(ensemble, library)  # only for its checks: raises if the library does not match the ensemble
    return SelectedEnsemble(paths, file, data, ensemble, library, trainings, refitted)


def get_trial_number(member: Member) -> int:
    """Number of a member's trial. The member must not come from --add (see `read_selected`)."""
    assert member.trial is not None, f"{member.name} has no trial"
    return member.trial


def _require_ensemble(paths: StudyPaths, name: str) -> None:
    if not paths.ensemble(name).is_file():
        known = ", ".join(sorted(path.stem for path in paths.ensembles.glob("*.json"))) or "none yet"
        raise StudyError(
            f"{display_path(paths.ensemble(name))}: no such ensemble; known: {known}; "
            f"create one with `raysearch ensemble {shlex.quote(display_path(paths.root))}`"
        )


def _require_weights(paths: StudyPaths, ensemble: Ensemble) -> None:
    if added := [member.name for member in ensemble.members if member.trial is None]:
        where = display_path(paths.ensemble(ensemble.name))
        raise SetError(
            f"{where}: member {name}: its predictions were added with --add, so the study has no weights to "
            "export; run `raysearch ensemble` again without --add"
            for name in added
        )


def _read_library(paths: StudyPaths, ensemble: Ensemble) -> Library:
    faults: list[str] = []
    candidates = []
    files = [paths.trial(get_trial_number(member)).predictions(member.view) for member in ensemble.members]
    for path in files:
        try:
            candidates.append(read_predictions(path))
        except PredictionsError as error:
            faults += error.faults
    if faults:
        raise PredictionsError(faults)
    check_aligned(candidates, [display_path(path) for path in files])
    return Library(tuple(candidates))
