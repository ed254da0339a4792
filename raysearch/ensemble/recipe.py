"""How an ensemble is made: the method, its settings, and how it is estimated."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from raysearch.config import Count
from raysearch.io import display_path, read_yaml
from raysearch.paths import VIEWS, View
from raysearch.section import Section, validate


class Recipe(Section):
    """The defaults are those of `ensembles/greedy.yaml`."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")] = "greedy"
    """The ensemble's name, and that of its file in the study."""
    method: Literal["greedy", "uniform"] = "greedy"
    """`greedy`: selection with replacement; `uniform`: the plain mean of the `best_n` candidates."""
    rounds: Count = 50
    """Picks of the greedy selection; the best round of them is kept."""
    best_n: Count = 16
    """Candidates in the mean, for `method: uniform`; all where there are fewer."""
    views: list[View] = Field(default=list(VIEWS), min_length=1)
    """Views of each trial that are candidates."""
    folds: Annotated[int, Field(ge=2)] = 5
    """Folds of the cross-fitted figures; fewer where a class has fewer held-out samples."""
    repeats: Count = 4
    """Times the samples are dealt into folds anew."""
    bootstrap: Count = 1000
    """Resamples for the interval of the gain."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of folds and resamples."""


def read_recipe(path: Path) -> Recipe:
    """The recipe in a YAML file. Raises `SpaceError` (or `UserError`, if unreadable) naming file and key."""
    return validate(Recipe, read_yaml(path), display_path(path))
