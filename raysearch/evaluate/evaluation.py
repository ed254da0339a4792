"""How well a checkpoint set does on a labelled split. Classes are matched by name, never by position."""

from dataclasses import dataclass

import numpy as np

from raysearch.errors import DataError, did_you_mean
from raysearch.evaluate.intervals import wilson_interval
from raysearch.predict import CheckpointSet, LabelledSplit, predict_all
from raysearch.train.figures import accuracy, log_loss, recalls


@dataclass(frozen=True)
class Recall:
    """Of the ``n`` images of a class, the share that was recognised."""

    name: str
    n: int
    recall: float


@dataclass(frozen=True)
class Evaluation:
    """Figures on all images of a split; shares in [0, 1], log loss in nats."""

    n: int
    accuracy: float
    accuracy_low: float
    """Ends of the accuracy's 95 % interval"""
    accuracy_high: float
    log_loss: float
    recalls: tuple[Recall, ...]
    """Of the classes that the split has, in the set's order"""

    @property
    def balanced_accuracy(self) -> float:
        """The mean recall of the classes that the split has"""
        return sum(recall.recall for recall in self.recalls) / len(self.recalls)

    def as_json(self) -> dict[str, float | int]:
        """What the verb prints last."""
        return {
            "accuracy": self.accuracy,
            "balanced_accuracy": self.balanced_accuracy,
            "log_loss": self.log_loss,
            "n": self.n,
            "accuracy_low": self.accuracy_low,
            "accuracy_high": self.accuracy_high,
        }


def evaluate(checkpoint_set: CheckpointSet, split: LabelledSplit) -> Evaluation:
    """Predict every image of ``split`` and compare. Raises `DataError` for classes that the set does not know."""
    labels = labels_in_order_of(checkpoint_set.classes, split)
    probs = predict_all(checkpoint_set, split)[1]
    share = accuracy(probs, labels)
    low, high = wilson_interval(share, len(labels))
    return Evaluation(
        len(labels), share, low, high, log_loss(probs, labels), _recalls(probs, labels, checkpoint_set.classes)
    )


def labels_in_order_of(classes: tuple[str, ...], split: LabelledSplit) -> np.ndarray:
    """int64 [samples]: the split's labels as indices in ``classes``.

    ``classes`` may hold more than the split; a class that has images in the split and is not among ``classes`` is
    a `DataError` that names it.
    """
    dataset = split.dataset
    present = [dataset.classes[index] for index in np.unique(split.labels)]
    if unknown := [name for name in present if name not in classes]:
        raise DataError(
            f"{dataset.source}: class {name!r} is not one of the set's classes{did_you_mean(name, classes)}"
            for name in unknown
        )
    index = np.array([classes.index(name) if name in classes else -1 for name in dataset.classes])
    return index[split.labels]


def _recalls(probs: np.ndarray, labels: np.ndarray, classes: tuple[str, ...]) -> tuple[Recall, ...]:
    counts = np.bincount(labels, minlength=len(classes))
    rows = zip(classes, counts, recalls(probs, labels), strict=True)
    return tuple(Recall(name, int(n), float(share)) for name, n, share in rows if n)
