"""The result of an evaluation, and its JSON form."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from raysearch.ensemble.calibration import BINS
from raysearch.ensemble.intervals import CONFIDENCE
from raysearch.evaluate.bootstrap import RESAMPLES, SEED
from raysearch.evaluate.figures import Figure


@dataclass(frozen=True)
class Recall:
    """The share of a class's ``n`` images that are predicted correctly."""

    name: str
    n: int
    share: Figure


@dataclass(frozen=True)
class Confusion:
    """``n`` images of class ``name`` predicted as ``taken_for``; ``share`` is relative to the class's images."""

    name: str
    taken_for: str
    n: int
    share: Figure


@dataclass(frozen=True)
class Evaluation:
    """Figures of a set on one split: shares in [0, 1], log loss in nats."""

    n: int
    classes: tuple[str, ...]
    temperature: float
    figures: Mapping[str, Figure]
    """By name of the metric, in the order of `raysearch.evaluate.metrics.METRICS`"""
    recalls: tuple[Recall, ...]
    """For the classes with images in the split, in the set's order; their mean is the balanced accuracy"""
    confusion: np.ndarray
    """int64 [true classes, predicted classes]: number of images"""
    confusions: tuple[Confusion, ...]
    """The most frequent ones. Their shares are biased upwards, because they are selected by frequency"""

    @property
    def accuracy(self) -> float:
        return self.figures["accuracy"].value

    def as_json(self) -> dict[str, float | int]:
        """The command's last line: every figure, with the ends of its interval as `<name>_low` and `<name>_high`."""
        flat = {key: value for name, figure in self.figures.items() for key, value in _flat(name, figure).items()}
        return {**flat, "temperature": self.temperature, "n": self.n}

    def whole_json(self) -> dict[str, Any]:
        """The content of the file `--out`: `as_json` and the results of each class."""
        return {
            **self.as_json(),
            "intervals": {"confidence": CONFIDENCE, "resamples": RESAMPLES, "seed": SEED},
            "ece_bins": BINS,
            "classes": list(self.classes),
            "recalls": [{"class": r.name, "n": r.n, **_flat("recall", r.share)} for r in self.recalls],
            "confusion": self.confusion.tolist(),
            "confusions": [
                {"class": c.name, "taken_for": c.taken_for, "n": c.n, **_flat("share", c.share)}
                for c in self.confusions
            ],
        }


def _flat(name: str, figure: Figure) -> dict[str, float]:
    return {name: figure.value, f"{name}_low": figure.low, f"{name}_high": figure.high}
