"""How many trials a search is to end with."""

import re

from raysearch.errors import UserError
from raysearch.io import display_path
from raysearch.paths import StudyPaths
from raysearch.space import space_from
from raysearch.study_file import read_study_file


def count_wanted_trials(asked: str | None, stored: int | None, from_space: int) -> int:
    """``asked``: `--trials`, N or +N; ``stored``: what the study to go on with was last asked for, None for a new one.

    Nothing asked leaves a resumed study its number, unless the space file has a greater one. Raises `UserError`.
    """
    if asked is None:
        return max(stored or 0, from_space)
    if not re.fullmatch(r"\+?[1-9][0-9]*", asked):
        raise UserError(f"--trials: N or +N must be given, a whole number from 1, got {asked!r}")
    if not asked.startswith("+"):
        return int(asked)
    if stored is None:
        raise UserError(f"--trials {asked}: only with --resume, for a study that is there; else give {asked[1:]}")
    return stored + int(asked)


def read_trial_count(paths: StudyPaths) -> int:
    """What the study in `study.yaml` was last asked for. Raises `StudyError`."""
    return space_from(read_study_file(paths).space.model_dump(), display_path(paths.study)).search.trials
