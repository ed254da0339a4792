"""The values of a recipe. `raysearch.ensemble.recipe` checks that they go together."""

from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal

from pydantic import Field

from raysearch.config import Count
from raysearch.ensemble.weighting import SelectionObjective
from raysearch.paths import VIEWS, View
from raysearch.section import Section

DEFAULT = "greedy"
"""The default recipe's name and its method; `ensembles/greedy.yaml` ships with these values."""
CAPS = ("max_members", "max_parameters", "max_latency_ms")
MIN_FAMILIES = 2


class Family(Section):
    """One family of models: which trials belong to it, and how many of them become members."""

    name: str
    """The family's name in messages."""
    backbone: str | list[str]
    """The backbone's name or a pattern such as `efficientnet_b5*`; a list allows several."""
    where: dict[str, Any] = Field(default_factory=dict)
    """Values that the trial's config must have, by dotted path below `trial` (`augment.mixing: ricap`); a list allows
    several values. For a training in stages, the last stage's value counts."""
    count: Count = 1
    """Number of members: the trials with the best held-out value of the objective."""

    @property
    def backbones(self) -> list[str]:
        """The names or patterns, as a list."""
        return [self.backbone] if isinstance(self.backbone, str) else self.backbone

    def takes(self, backbone: str) -> bool:
        """Whether the name ``backbone`` matches the family."""
        return any(fnmatchcase(backbone, pattern) for pattern in self.backbones)


class Settings(Section):
    """How to select an ensemble and how to estimate its score. The defaults equal `ensembles/greedy.yaml`."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")] = DEFAULT
    """The ensemble's name, which is also its file name in the study."""
    method: str = DEFAULT
    """The selection method: a name in `raysearch.ensemble.methods.METHODS`."""
    objective: SelectionObjective | None = None
    """What the selection maximizes on the held-out samples; ties are decided by log loss. `accuracy`: share of correct
    samples. `balanced_accuracy`: mean over the classes of the recall, for classes of unequal size. Null:
    `balanced_accuracy` if it is the study's `search.objective`, else `accuracy`."""
    rounds: Count = 50
    """Picks of the greedy selection (per bag for `method: bagged`); the best round is kept."""
    sorted_start: Annotated[int, Field(ge=0)] = 0
    """The greedy selection starts from the mean of the k best candidates, with the best k up to this number; 0 starts
    from an empty ensemble."""
    bags: Count = 20
    """Number of random subsets of the library, for `method: bagged`."""
    bag_share: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Share of the candidates in each bag."""
    refine: Literal["none", "log_loss"] = "none"
    """`log_loss`: fit the members' weights to the held-out log loss."""
    best_n: Count = 16
    """Number of candidates in the plain mean, for `method: uniform` and for the plain mean that every ensemble is
    compared with; all candidates where the library has fewer."""
    families: list[Family] = Field(default_factory=list)
    """For `method: families`: filled in this order; a trial is used at most once."""
    max_members: Count | None = None
    """Maximum number of members."""
    max_parameters: Count | None = None
    """Maximum number of parameters over all networks; views of the same weights count once."""
    max_latency_ms: Annotated[float, Field(gt=0)] | None = None
    """Maximum time per image in milliseconds, as measured by the trainings; views of the same forward pass count
    once."""
    views: list[View] = Field(default=list(VIEWS), min_length=1)
    """Views of each trial that are candidates."""
    resolutions: bool = True
    """Whether the same views at other resolutions (`trial.inference.also_at`) are candidates too."""
    folds: Annotated[int, Field(ge=2)] = 5
    """Folds of the cross-fitted figures; fewer where a class has fewer held-out samples."""
    repeats: Count = 4
    """Number of random partitions into folds."""
    bootstrap: Count = 1000
    """Bootstrap resamples for the interval of the gain."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the bags, folds and resamples."""
