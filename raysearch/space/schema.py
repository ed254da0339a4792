"""The sections of a space file, and functions that flatten them into key paths and leaves."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field

from raysearch.config import Count, DataConfig, NonNegative, Objective, Positive, TrialConfig
from raysearch.section import Section

KeyPath = tuple[str, ...]
"""The keys that lead to a value, outermost first."""


SearchObjective = Literal["accuracy", "balanced_accuracy", "log_loss", "ensemble_gain"]

RowView = Literal["student-final", "student-fused", "teacher-final", "teacher-fused"]
"""The probabilities of student or teacher, from the final head or fused with the auxiliary head."""


def _is_study_name(name: str) -> str:
    allowed = name.replace(".", "").replace("_", "").replace("-", "")
    if not (allowed.isascii() and allowed.isalnum() and name[0] not in ".-"):
        raise ValueError("expected a name of letters, digits, '.', '_' and '-' that does not start with '.' or '-'")
    return name


TableKey = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]


class ResourcesConfig(Section):
    """The resources of a trial, and how many trials run at once."""

    workers: Count = 1
    """Processes that train one network together (data parallel)."""
    cpus_per_worker: Count = 1
    """CPU cores per worker; also its number of threads."""
    gpus_per_worker: NonNegative = 0.0
    """GPUs per worker. A fraction such as 0.25 lets several trials share a GPU. 0: train on the CPU."""
    concurrency: Count | None = None
    """Trials that run at once; with `data.folds`, trainings. Null: as many as the machine or cluster has resources
    for."""

    @property
    def per_worker(self) -> dict[str, float]:
        """A worker's resources by Ray's names. Resources of 0 are left out."""
        amounts = {"CPU": float(self.cpus_per_worker), "GPU": self.gpus_per_worker}
        return {name: amount for name, amount in amounts.items() if amount}


class SearchConfig(Section):
    """How the space is searched, and when the search ends."""

    trials: Count = 8
    """Number of trials. Failed trials do not count. With `data.folds`, each trial is several trainings."""
    timeout_s: Positive | None = None
    """Time limit in seconds: running trials are then stopped. Null: no limit."""
    epochs: Count | None = None
    """Limit on the epochs of all trainings together: running trials are then stopped. Null: no limit."""
    checkpoints_gb: Positive | None = None
    """Limit on the checkpoints of the whole study, in GB (1e9 bytes). Null: no limit. The weights that are least useful
    to the ensemble are deleted first. Predictions are kept, and `raysearch export` says how to train deleted weights
    again."""
    sampler: Literal["tpe", "gp", "cmaes", "random", "qmc"] = "tpe"
    """Optuna's sampler: how values are drawn from the distributions."""
    scheduler: Literal["asha", "hyperband", "median", "none"] = "asha"
    """How weak trials are stopped early. `asha`: asynchronous successive halving (Li et al. 2020). `hyperband`: ASHA
    with several values of `grace`. `median`: stop trials below the median of the running means of the others. `none`:
    never."""
    grace: Annotated[float, Field(gt=0, le=1)] = 0.25
    """Share of a trial's epochs before which it is not stopped."""
    reduction_factor: Annotated[int, Field(ge=2)] = 2
    """ASHA and Hyperband continue one in this many trials at each rung."""
    objective: SearchObjective = "accuracy"
    """Held-out figure that the search optimizes. `balanced_accuracy`: mean over the classes of the recall, for classes
    of unequal size; ensembles are then selected by it, too, unless their recipe says otherwise. `ensemble_gain`:
    decrease in log loss of the greedy ensemble of the finished trials if this trial is added; while a trial trains, its
    own log loss is used. Values of early and late trials are not comparable, because the ensemble grows."""
    first: list[dict[str, Any]] = Field(default_factory=list)
    """Trials to run first. Each entry sets some values of `trial`; the sampler draws the others."""
    max_failures: Annotated[int, Field(ge=0)] = 3
    """Failed trials that are replaced. One more failure ends the search."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Seed of the sampler."""

    @property
    def training_objective(self) -> Objective:
        """The figure that decides within a training which epoch's weights are kept."""
        return "log_loss" if self.objective == "ensemble_gain" else self.objective

    @property
    def maximizes(self) -> bool:
        """Whether a larger value is better."""
        return self.objective != "log_loss"


class RowConfig(Section):
    """A row of an ablation's table: its values, the figure to show, and published figures to compare with."""

    name: Annotated[str, Field(min_length=1)]
    """Name in the table. Must be unique in its table."""
    over: str | None = None
    """The earlier row that this one changes and is compared with. Null: the row above. The first row changes
    `trial`."""
    set: dict[str, Any] = Field(default_factory=dict)
    """Values of `trial` that differ from the row named in `over`. A row that sets nothing uses the trainings of that
    row."""
    view: RowView = "student-final"
    """Held-out predictions that the row shows the figure of."""
    theirs: dict[str, float] = Field(default_factory=dict)
    """Published figures by source, in percent. They are printed next to ours, although they are for other data."""


class TableConfig(Section):
    """Rows that are printed together. By default each changes the row above it."""

    title: Annotated[str, Field(min_length=1)]
    """Heading of the table."""
    rows: Annotated[list[RowConfig], Field(min_length=1)]
    """From top to bottom. The first row is the baseline."""


class AblationConfig(Section):
    """Fixed trainings instead of a search: every row with every seed.

    `search.trials`, `sampler`, `scheduler`, `grace`, `reduction_factor` and `first` are then ignored.
    """

    seeds: Count = 3
    """Number of seeds: each row is trained with trial.seed, trial.seed + 1, ... All rows have the same seeds, so that
    they are compared in pairs."""
    only: Annotated[list[str], Field(min_length=1)] | None = None
    """Keys of the tables to train. Null: all tables."""
    tables: dict[TableKey, TableConfig] = Field(default_factory=dict)
    """Tables by key. Rows with equal values share their trainings, also across tables. Empty: the file is a search."""


class SpaceFile(Section):
    """A space file. Any leaf of `trial` may be a distribution instead of a value."""

    extends: str | None = None
    """Another space file, as a path relative to this file or the name of an included space. Its values apply unless
    this file sets them."""
    study: Annotated[str, AfterValidator(_is_study_name)]
    """Name of the study, and of its folder below `runs/`."""
    data: DataConfig = DataConfig()
    resources: ResourcesConfig = ResourcesConfig()
    search: SearchConfig = SearchConfig()
    ablation: AblationConfig = AblationConfig()
    trial: TrialConfig = TrialConfig()


def dotted(path: KeyPath) -> str:
    """A path as files and messages write it, such as ``method.alpha``."""
    return ".".join(path)


def flatten(section: type[BaseModel], values: Mapping[Any, Any], prefix: KeyPath = ()) -> dict[KeyPath, Any]:
    """The leaves of ``values`` by path. Only sections are flattened: a mapping at a leaf is its value.

    An unknown key becomes a leaf, and so does a section whose value is not a mapping. Validation reports both.
    """
    leaves: dict[KeyPath, Any] = {}
    for key, value in values.items():
        path, inner = (*prefix, str(key)), _section_at(section, key)
        if inner is not None and isinstance(value, Mapping):
            leaves |= flatten(inner, value, path)
        else:
            leaves[path] = value
    return leaves


def unflatten(leaves: Mapping[KeyPath, Any]) -> dict[str, Any]:
    """The nested mapping of ``leaves``. A value at the path of a section hides the leaves below it."""
    values: dict[str, Any] = {}
    for path, value in leaves.items():
        if any(path[:n] in leaves for n in range(1, len(path))):
            continue
        node = values
        for key in path[:-1]:
            node = node.setdefault(key, {})
        node[path[-1]] = value
    return values


def leaf_paths(section: type[BaseModel], prefix: KeyPath = ()) -> Iterator[KeyPath]:
    """The path of every leaf of ``section``."""
    for key in section.model_fields:
        inner = _section_at(section, key)
        if inner is None:
            yield (*prefix, key)
        else:
            yield from leaf_paths(inner, (*prefix, key))


def _section_at(section: type[BaseModel], key: Any) -> type[BaseModel] | None:
    field = section.model_fields.get(key)
    kind = field.annotation if field else None
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None
