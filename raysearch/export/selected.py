"""What an export starts from: an ensemble of a study, its members' stored predictions and trainings, and the data."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from raysearch.config import DataConfig
from raysearch.ensemble.library import Library
from raysearch.ensemble.results import Ensemble, Member, ensemble_probs, read_ensemble
from raysearch.errors import PredictionsError, SetError, StudyError
from raysearch.export.refitted import Refit, read_refit
from raysearch.export.trainings import Training, trainings_of
from raysearch.io import display_path
from raysearch.paths import StudyPaths
from raysearch.predictions import Predictions, check_aligned, read_predictions
from raysearch.study_file import StudyFile, read_study_file


@dataclass(frozen=True)
class SelectedEnsemble:
    """An ensemble whose members' predictions are all there and belong together."""

    paths: StudyPaths
    file: StudyFile
    """The study's"""
    data: DataConfig
    """The study's, or moved to another source"""
    ensemble: Ensemble
    library: Library
    """The members' stored predictions, in the members' order"""
    trainings: Mapping[int, tuple[Training, ...]]
    """By trial: whose weights stand for its members; as many for every trial"""
    refit: Refit | None = None

    @property
    def reference(self) -> Predictions:
        """Of some member: ids and labels of the images that the set's models can be checked on."""
        if self.refit is None:
            return self.library.candidates[0]
        member, trainings = self.members[0]
        return trainings[0].stored(member.view)

    @property
    def members(self) -> list[tuple[Member, tuple[Training, ...]]]:
        """Each with its trainings, in the ensemble's order."""
        return [(member, self.trainings[trial_of(member)]) for member in self.ensemble.members]


def read_selected(
    paths: StudyPaths, name: str, source: str | None = None, refit: StudyPaths | None = None
) -> SelectedEnsemble:
    """The ensemble ``name`` of a study; ``source`` replaces where the study's data lay, and the trainings in the study
    ``refit`` those of the members.

    Raises `StudyError` for what is no study, no ensemble of it or no refit of that; `SetError` for members that the
    study has no weights of; and `PredictionsError` for predictions that are missing, of other data, or of other
    weights than were selected.
    """
    file = read_study_file(paths)
    _require_ensemble(paths, name)
    ensemble = read_ensemble(paths.ensemble(name))
    _refuse_added(paths, ensemble)
    data = file.space.data.model_copy(update={"source": source} if source else {})
    library = _read_library(paths, ensemble)
    found = read_refit(refit, paths, ensemble) if refit else None
    numbers = dict.fromkeys(map(trial_of, ensemble.members))
    trainings = {number: trainings_of(paths, number, data, file.data.fingerprint, found) for number in numbers}
    ensemble_probs(ensemble, library)  # refuses what does not belong together
    return SelectedEnsemble(paths, file, data, ensemble, library, trainings, found)


def trial_of(member: Member) -> int:
    """The number of a member's trial; members made elsewhere have been refused."""
    assert member.trial is not None, f"{member.name} has no trial"
    return member.trial


def _require_ensemble(paths: StudyPaths, name: str) -> None:
    if not paths.ensemble(name).is_file():
        known = ", ".join(sorted(path.stem for path in paths.ensembles.glob("*.json"))) or "none yet"
        raise StudyError(
            f"{display_path(paths.ensemble(name))}: no such ensemble; known: {known}; "
            f"`python -m raysearch.ensemble {shlex.quote(display_path(paths.root))}` makes one"
        )


def _refuse_added(paths: StudyPaths, ensemble: Ensemble) -> None:
    if added := [member.name for member in ensemble.members if member.trial is None]:
        where = display_path(paths.ensemble(ensemble.name))
        raise SetError(
            f"{where}: member {name}: its predictions were made elsewhere and joined by --add, so that there are no "
            "weights of it to export; select without it: run raysearch.ensemble again without --add"
            for name in added
        )


def _read_library(paths: StudyPaths, ensemble: Ensemble) -> Library:
    faults: list[str] = []
    candidates = []
    files = [paths.trial(trial_of(member)).predictions(member.view) for member in ensemble.members]
    for path in files:
        try:
            candidates.append(read_predictions(path))
        except PredictionsError as error:
            faults += error.faults
    if faults:
        raise PredictionsError(faults)
    check_aligned(candidates, [display_path(path) for path in files])
    return Library(tuple(candidates))
