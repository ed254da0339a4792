"""A checkpoint set on one labelled split: figures with their intervals."""

from raysearch.evaluate.evaluation import Evaluation, evaluate
from raysearch.evaluate.intervals import wilson_interval

__all__ = ["Evaluation", "evaluate", "wilson_interval"]
