"""How many trials a search runs in total."""

import re

from raysearch.errors import UserError
from raysearch.io import display_path
from raysearch.paths import StudyPaths
from raysearch.space import space_from
from raysearch.study_file import read_study_file


def count_wanted_trials(option: str | None, stored: int | None, from_space: int) -> int:
    """The total number of trials of the study.

    ``option``: value of `--trials`, N or +N. ``stored``: the total of the study that is resumed; None for a new study.
    ``from_space``: `search.trials` of the space. Without `--trials`, a resumed study keeps its total unless the space
    has a larger one. Raises `UserError`.
    """
    if option is None:
        return max(stored or 0, from_space)
    if not re.fullmatch(r"\+?[1-9][0-9]*", option):
        raise UserError(f"--trials: expected N or +N, a whole number from 1, got {option!r}")
    if not option.startswith("+"):
        return int(option)
    if stored is None:
        raise UserError(f"--trials {option}: only with --resume, for an existing study; else give {option[1:]}")
    return stored + int(option)


def read_trial_count(paths: StudyPaths) -> int:
    """The total number of trials in `study.yaml`. Raises `StudyError`."""
    return space_from(read_study_file(paths).space.model_dump(), display_path(paths.study)).search.trials
