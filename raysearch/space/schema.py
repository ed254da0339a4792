"""The sections of a space file, and its values as a flat mapping from key paths to leaves."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field

from raysearch.config import Count, DataConfig, NonNegative, Objective, Positive, TrialConfig
from raysearch.section import Section

KeyPath = tuple[str, ...]
"""The keys that lead to a value, outermost first."""


SearchObjective = Literal["accuracy", "log_loss", "ensemble_gain"]

RowView = Literal["student-final", "student-fused", "teacher-final", "teacher-fused"]
"""Whose probabilities: of student or teacher, of the final head or fused with the auxiliary one."""


def _is_study_name(name: str) -> str:
    allowed = name.replace(".", "").replace("_", "").replace("-", "")
    if not (allowed.isascii() and allowed.isalnum() and name[0] not in ".-"):
        raise ValueError("a name of letters, digits, '.', '_' and '-' must stand here, not led by '.' or '-'")
    return name


TableKey = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]


class ResourcesConfig(Section):
    """What a trial takes, and how many run at once."""

    workers: Count = 1
    """Processes that train one trial together."""
    cpus_per_worker: Count = 1
    """CPU cores, and threads, of a worker."""
    gpus_per_worker: NonNegative = 0.0
    """GPUs of a worker; a share such as 0.25 lets trials share one."""
    concurrency: Count | None = None
    """Trials at once, or with `data.folds` trainings; null: as many as the machine holds."""

    @property
    def per_worker(self) -> dict[str, float]:
        """A worker's share by Ray's names; what is not asked for is left out."""
        shares = {"CPU": float(self.cpus_per_worker), "GPU": self.gpus_per_worker}
        return {name: share for name, share in shares.items() if share}


class SearchConfig(Section):
    """How the space is searched, and for how long."""

    trials: Count = 8
    """Trials that end COMPLETE or PRUNED; with `data.folds` each is several trainings."""
    timeout_s: Positive | None = None
    """Seconds until running trials are stopped; null: no limit."""
    epochs: Count | None = None
    """Epochs of all trainings together at which running trials are stopped; null: no limit."""
    checkpoints_gb: Positive | None = None
    """GB (1e9 bytes) that the weights of the whole study may take; null: no limit. Those of least value to the ensemble
    are dropped first; predictions stay, and a trial's `config.yaml` trains its weights again."""
    sampler: Literal["tpe", "gp", "cmaes", "random", "qmc"] = "tpe"
    """Optuna's sampler."""
    scheduler: Literal["asha", "hyperband", "median", "none"] = "asha"
    """Who stops weak trials early: `asha`; `hyperband`, ASHA with several graces (asynchronous); `median`, those below
    the median of the others' running means; `none` trains all to their end."""
    grace: Annotated[float, Field(gt=0, le=1)] = 0.25
    """Share of its own epochs that a trial has before it may be stopped."""
    reduction_factor: Annotated[int, Field(ge=2)] = 2
    """ASHA and Hyperband let one trial in this many go on at each of their rungs."""
    objective: SearchObjective = "accuracy"
    """Held-out figure that decides. `ensemble_gain`: how much the trial lowers the log loss of the greedy ensemble of
    the finished trials; until a trial ends its own log loss decides. It drifts as the ensemble grows."""
    first: list[dict[str, Any]] = Field(default_factory=list)
    """Trials to start with: values of some leaves of `trial`; the sampler draws the others."""
    max_failures: Annotated[int, Field(ge=0)] = 3
    """Failed trials that are replaced by new ones."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Seed of the sampler."""

    @property
    def training_objective(self) -> Objective:
        """What decides within a training: which epoch's weights are kept."""
        return "log_loss" if self.objective == "ensemble_gain" else self.objective

    @property
    def maximizes(self) -> bool:
        """Whether a greater value of the study is a better one."""
        return self.objective != "log_loss"


class RowConfig(Section):
    """A row of an ablation's table: a training, its figure, and what others published for it."""

    name: Annotated[str, Field(min_length=1)]
    """What the table calls it; unique in its table."""
    over: str | None = None
    """The earlier row that `set` is laid over and that this one is compared with; null: the row above."""
    set: dict[str, Any] = Field(default_factory=dict)
    """Values of `trial` in which this row differs from the row it is laid over (the first: from `trial`). A row that
    sets nothing trains nothing of its own."""
    view: RowView = "student-final"
    """Which held-out predictions the row's figure is of."""
    theirs: dict[str, float] = Field(default_factory=dict)
    """Published figures by source, in percent: printed beside ours, on other data."""


class TableConfig(Section):
    """Rows that are printed together, each laid over the one above."""

    title: Annotated[str, Field(min_length=1)]
    """Its heading."""
    rows: Annotated[list[RowConfig], Field(min_length=1)]
    """From the top; the first is what the others are compared with."""


class AblationConfig(Section):
    """Trainings as they are instead of a search: every row with every seed. Of `search` only the time limit, the
    failures and the objective apply then."""

    seeds: Count = 3
    """Each row is trained with trial.seed, trial.seed + 1, ...: the same seeds in every row, so that rows pair."""
    only: Annotated[list[str], Field(min_length=1)] | None = None
    """Keys of the tables to train; null: all."""
    tables: dict[TableKey, TableConfig] = Field(default_factory=dict)
    """By key. Rows of equal values, in whichever table, share their trainings. None: the file is a search."""


class SpaceFile(Section):
    """A whole space file. In `trial` any leaf may also be a distribution."""

    extends: str | None = None
    """Another space file, relative to this one, whose values hold where this file gives none."""
    study: Annotated[str, AfterValidator(_is_study_name)]
    """Name of the study and of its folder."""
    data: DataConfig = DataConfig()
    resources: ResourcesConfig = ResourcesConfig()
    search: SearchConfig = SearchConfig()
    ablation: AblationConfig = AblationConfig()
    trial: TrialConfig = TrialConfig()


def dotted(path: KeyPath) -> str:
    """A path as files and messages write it: ``method.alpha``."""
    return ".".join(path)


def flatten(section: type[BaseModel], values: Mapping[Any, Any], prefix: KeyPath = ()) -> dict[KeyPath, Any]:
    """The leaves of ``values`` by path. Only sections are opened: a mapping at a leaf is its value.

    An unknown key is a leaf, and so is a section whose value is no mapping: validation refuses both.
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
    """The nested mapping of ``leaves``. A value that stands for a whole section hides what is below it."""
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
    """The path of every leaf that ``section`` knows."""
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
