"""A checkpoint set on one labelled split: figures with their intervals."""

from raysearch.evaluate.evaluation import evaluate, evaluated
from raysearch.evaluate.figures import Figure
from raysearch.evaluate.results import Confusion, Evaluation, Recall
from raysearch.evaluate.samples import Samples

__all__ = ["Confusion", "Evaluation", "Figure", "Recall", "Samples", "evaluate", "evaluated"]
