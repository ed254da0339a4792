"""How an ensemble is made: the method, its settings, and how it is estimated."""

from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from raysearch.config import Count
from raysearch.io import display_path, read_yaml
from raysearch.paths import VIEWS, View
from raysearch.section import Section, validate

Method = Literal["greedy", "bagged", "uniform", "families"]
CAPS = ("max_members", "max_parameters", "max_latency_ms")
MIN_FAMILIES = 2


class Family(Section):
    """One place of an ensemble that is named beforehand: which trials may fill it, and how many do."""

    name: str
    """What messages call it."""
    backbone: str | list[str]
    """The backbone's name, or a pattern such as `efficientnet_b5*`; a list where any of several will do."""
    where: dict[str, Any] = Field(default_factory=dict)
    """Values that a trial's config must have, by their place below `trial` (`augment.mixing: ricap`); a list where any
    of several will do. Of a training in stages, the last stage's."""
    count: Count = 1
    """How many trials are its members: the best by held-out accuracy."""

    @property
    def backbones(self) -> list[str]:
        """The names or patterns, as a list."""
        return [self.backbone] if isinstance(self.backbone, str) else self.backbone

    def takes(self, backbone: str) -> bool:
        """Whether a backbone of this name is one of the family's."""
        return any(fnmatchcase(backbone, pattern) for pattern in self.backbones)


class Recipe(Section):
    """The defaults are those of `ensembles/greedy.yaml`."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")] = "greedy"
    """The ensemble's name, and that of its file in the study."""
    method: Method = "greedy"
    """`greedy`: selection with replacement; `bagged`: the mean of greedy selections from random parts of the library;
    `uniform`: the plain mean of the `best_n` candidates; `families`: that of the best trials of each family."""
    rounds: Count = 50
    """Picks of the greedy selection (of each bag); the best round of them is kept."""
    sorted_start: Annotated[int, Field(ge=0)] = 0
    """The greedy selection starts from at most so many of the best candidates, as many as make the best mean; 0: from
    nothing."""
    bags: Count = 20
    """Parts of the library, for `method: bagged`."""
    bag_share: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Share of the candidates in a bag."""
    refine: Literal["none", "log_loss"] = "none"
    """`log_loss`: the weights of the selected are fitted to the held-out log loss."""
    best_n: Count = 16
    """Candidates in the plain mean, for `method: uniform` and for the mean that every ensemble is compared with; all
    where there are fewer."""
    families: list[Family] = Field(default_factory=list)
    """For `method: families`; filled in this order, and no trial fills two places."""
    max_members: Count | None = None
    """At most so many members."""
    max_parameters: Count | None = None
    """At most so many parameters in all networks together; views of the same weights count once."""
    max_latency_ms: Annotated[float, Field(gt=0)] | None = None
    """At most so many milliseconds an image, as the trainings measured; views of the same forward pass count once."""
    views: list[View] = Field(default=list(VIEWS), min_length=1)
    """Views of each trial that are candidates."""
    resolutions: bool = True
    """Whether the views' forms at other resolutions (`trial.inference.also_at`) are candidates too."""
    folds: Annotated[int, Field(ge=2)] = 5
    """Folds of the cross-fitted figures; fewer where a class has fewer held-out samples."""
    repeats: Count = 4
    """Times the samples are dealt into folds anew."""
    bootstrap: Count = 1000
    """Resamples for the interval of the gain."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of bags, folds and resamples."""

    @model_validator(mode="after")
    def _families_go_with_their_method(self) -> Self:
        if self.method != "families":
            if self.families:
                raise ValueError(
                    f"families must be left out beside method {self.method!r}, or the method be 'families'"
                )
            return self
        if len(self.families) < MIN_FAMILIES:
            raise ValueError(f"families must name at least {MIN_FAMILIES}, but got {len(self.families)}")
        names = [family.name for family in self.families]
        if len(set(names)) < len(names):
            raise ValueError(f"families must have names of their own, but got {', '.join(names)}")
        return self

    @model_validator(mode="after")
    def _a_plain_mean_stays_one(self) -> Self:
        if self.refine != "none" and self.method in ("uniform", "families"):
            raise ValueError(f"refine must be none beside method {self.method!r}, a plain mean; got {self.refine!r}")
        if self.method == "families" and (given := [key for key in CAPS if getattr(self, key) is not None]):
            raise ValueError(f"{given[0]} must be left out beside method 'families', which names its members")
        return self


def read_recipe(path: Path) -> Recipe:
    """The recipe in a YAML file. Raises `SpaceError` (or `UserError`, if unreadable) naming file and key."""
    return validate(Recipe, read_yaml(path), display_path(path))
