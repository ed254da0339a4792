"""A refit: the study in which the members of an ensemble were trained again, on train and held_out together."""

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from raysearch.ensemble.results import Ensemble
from raysearch.errors import StudyError
from raysearch.io import display_path, read_json, sha256
from raysearch.paths import StudyPaths
from raysearch.section import Section, list_faults
from raysearch.study_file import StudyFile, read_study_file


class RefitOf(Section, extra="ignore"):
    """`refit.json`: which trials stand for which."""

    ensemble: str
    """Its name, in the study above."""
    ensemble_sha256: str
    """Of its file, as it was when the refit began."""
    trials: dict[str, list[int]]
    """By the number of a member's trial: the refit's trials, one a seed."""


@dataclass(frozen=True)
class Refit:
    """A refit that has a finished training of every seed for every member."""

    paths: StudyPaths
    file: StudyFile
    trials: Mapping[int, list[int]]
    """By the number of the member's trial: the refit's own, one a seed"""


def read_refit(paths: StudyPaths, study: StudyPaths, ensemble: Ensemble) -> Refit:
    """The refit of ``ensemble`` in ``paths``.

    Raises `StudyError` when it is none, is of another ensemble or of one that has been selected anew since, or lacks
    trainings that a member needs.
    """
    file, where = read_study_file(paths), display_path(paths.refit_of)
    try:
        content = RefitOf.model_validate(read_json(paths.refit_of))
    except ValidationError as error:
        raise StudyError(list_faults(RefitOf, error, where)) from error
    if (content.ensemble, content.ensemble_sha256) != (ensemble.name, sha256(study.ensemble(ensemble.name))):
        raise StudyError(
            f"{where}: is the refit of another ensemble than {ensemble.name!r} as it is now; refit again, with "
            "--refit: only what is missing is trained"
        )
    numbers = dict.fromkeys(member.trial for member in ensemble.members if member.trial is not None)
    trials = {number: content.trials.get(str(number), []) for number in numbers}
    if len({len(found) for found in trials.values()}) > 1 or not all(trials.values()):
        seeds = ", ".join(f"{len(found)} of trial {number}" for number, found in trials.items())
        raise StudyError(f"{where}: each member's trial needs as many refits, at least one, but there are {seeds}")
    unfinished = [n for found in trials.values() for n in found if _state(paths, n) != "COMPLETE"]
    if unfinished:
        raise StudyError(
            f"{display_path(paths.trial(n).result)}: the refit's trial {n} must be COMPLETE, but is "
            f"{_state(paths, n) or 'not finished'}; go on with --refit"
            for n in unfinished
        )
    return Refit(paths, file, trials)


def _state(paths: StudyPaths, number: int) -> str | None:
    result = paths.trial(number).result
    return read_json(result).get("state") if result.is_file() else None
