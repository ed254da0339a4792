"""A recipe: how to select an ensemble and how to estimate its score."""

from pathlib import Path
from typing import Self

from pydantic import field_validator, model_validator
from pydantic_core import PydanticKnownError

from raysearch.ensemble.methods import METHODS
from raysearch.ensemble.settings import CAPS, MIN_FAMILIES, Settings
from raysearch.io import display_path, read_yaml
from raysearch.section import validate


class Recipe(Settings):
    """Settings whose method is known and whose values go together."""

    @field_validator("method")
    @classmethod
    def _method_is_known(cls, method: str) -> str:
        if method not in METHODS:
            # The same error as for a Literal, so that the message suggests or lists the known names.
            raise PydanticKnownError("literal_error", {"expected": " or ".join(map(repr, METHODS))})
        return method

    @model_validator(mode="after")
    def _families_match_the_method(self) -> Self:
        if not METHODS[self.method].uses_families:
            if self.families:
                raise ValueError(f"method {self.method!r} does not use families; leave families out")
            return self
        if len(self.families) < MIN_FAMILIES:
            raise ValueError(f"families must list at least {MIN_FAMILIES} families, but got {len(self.families)}")
        names = [family.name for family in self.families]
        if len(set(names)) < len(names):
            raise ValueError(f"families must have different names, but got {', '.join(names)}")
        if given := [key for key in CAPS if getattr(self, key) is not None]:
            raise ValueError(f"method {self.method!r} does not use caps; leave {given[0]} out")
        return self

    @model_validator(mode="after")
    def _plain_mean_is_not_refined(self) -> Self:
        if self.refine != "none" and METHODS[self.method].is_plain_mean:
            raise ValueError(f"refine must be none for method {self.method!r}, a plain mean; got {self.refine!r}")
        return self


def read_recipe(path: Path) -> Recipe:
    """Read a recipe from a YAML file. Raises `SpaceError` (or `UserError`, if unreadable) naming file and key."""
    return validate(Recipe, read_yaml(path), display_path(path))
