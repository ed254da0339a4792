"""One training, from a config to a trial folder. The loop knows neither Ray nor the study."""

from raysearch.train.fit import check_fit, sizes_of
from raysearch.train.loop import train
from raysearch.train.reporter import Reporter
from raysearch.train.result import State, read_result, write_result
from raysearch.train.stage import open_training_data, stubborn_at_start, train_split

__all__ = [
    "Reporter",
    "State",
    "check_fit",
    "open_training_data",
    "read_result",
    "sizes_of",
    "stubborn_at_start",
    "train",
    "train_split",
    "write_result",
]
