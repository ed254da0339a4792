"""One training, from a config to a trial folder. The loop knows neither Ray nor the study."""

from raysearch.train.loop import train
from raysearch.train.reporter import Reporter
from raysearch.train.result import State, read_result, write_result

__all__ = ["Reporter", "State", "read_result", "train", "write_result"]
