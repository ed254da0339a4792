"""A refit: a study in which the members of an ensemble were trained again on train and held_out together."""

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from raysearch.ensemble.results import Ensemble
from raysearch.errors import StudyError
from raysearch.io import display_path, read_json, sha256
from raysearch.paths import StudyPaths
from raysearch.section import Section, list_faults
from raysearch.study_file import StudyFile, read_study_file


class RefitFile(Section, extra="ignore"):
    """`refit.json`: which trials of the refit replace which trials of the study."""

    ensemble: str
    """Name of the ensemble in the original study."""
    ensemble_sha256: str
    """SHA-256 of the ensemble file when the refit began."""
    trials: dict[str, list[int]]
    """Trials of the refit, one per seed, by the number of the member's trial."""


@dataclass(frozen=True)
class Refit:
    """A complete refit: every member has a finished training for every seed."""

    paths: StudyPaths
    file: StudyFile
    trials: Mapping[int, list[int]]
    """Trials of the refit, one per seed, by the number of the member's trial"""


def read_refit(paths: StudyPaths, study: StudyPaths, ensemble: Ensemble) -> Refit:
    """Read the refit of ``ensemble``, an ensemble of ``study``, from the folder ``paths``.

    Raises `StudyError` if the folder holds no refit, if the refit belongs to another ensemble or to an earlier version
    of this one, or if trainings of a member are missing.
    """
    file, where = read_study_file(paths), display_path(paths.refit_of)
    try:
        content = RefitFile.model_validate(read_json(paths.refit_of))
    except ValidationError as error:
        raise StudyError(list_faults(RefitFile, error, where)) from error
    if (content.ensemble, content.ensemble_sha256) != (ensemble.name, sha256(study.ensemble(ensemble.name))):
        raise StudyError(
            f"{where}: this refit was made for another ensemble, or {ensemble.name!r} has changed since; run "
            "`raysearch export --refit` again, which trains only what is missing"
        )
    numbers = dict.fromkeys(member.trial for member in ensemble.members if member.trial is not None)
    trials = {number: content.trials.get(str(number), []) for number in numbers}
    if len({len(refits) for refits in trials.values()}) > 1 or not all(trials.values()):
        seeds = ", ".join(f"{len(refits)} of trial {number}" for number, refits in trials.items())
        raise StudyError(
            f"{where}: every member's trial must have the same number of refits, at least one; got {seeds}"
        )
    unfinished = [n for refits in trials.values() for n in refits if _read_state(paths, n) != "COMPLETE"]
    if unfinished:
        raise StudyError(
            f"{display_path(paths.trial(n).result)}: the refit's trial {n} must be COMPLETE, but is "
            f"{_read_state(paths, n) or 'not finished'}; run `raysearch export --refit` to continue"
            for n in unfinished
        )
    return Refit(paths, file, trials)


def _read_state(paths: StudyPaths, number: int) -> str | None:
    result = paths.trial(number).result
    return read_json(result).get("state") if result.is_file() else None
