"""Space files: YAML -> `Space` -> (Optuna trial) -> `TrialConfig`."""

from raysearch.space.ablation import Ablation, Row, Table, Training
from raysearch.space.distributions import Choice, Distribution, Range, Trial
from raysearch.space.growth import find_growth_faults
from raysearch.space.load import Space, load_space, load_training, space_from
from raysearch.space.schema import ResourcesConfig, SearchConfig
from raysearch.space.search_space import SearchSpace

__all__ = [
    "Ablation",
    "Choice",
    "Distribution",
    "Range",
    "ResourcesConfig",
    "Row",
    "SearchConfig",
    "SearchSpace",
    "Space",
    "Table",
    "Training",
    "Trial",
    "find_growth_faults",
    "load_space",
    "load_training",
    "space_from",
]
