"""What an evaluation found, and as JSON."""

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
    """Of the ``n`` images of a class, the share that was recognised."""

    name: str
    n: int
    share: Figure


@dataclass(frozen=True)
class Confusion:
    """``n`` images of a class that were taken for another: a share of that class's images."""

    name: str
    taken_for: str
    n: int
    share: Figure


@dataclass(frozen=True)
class Evaluation:
    """Figures on all images of a split; shares in [0, 1], log loss in nats."""

    n: int
    classes: tuple[str, ...]
    temperature: float
    figures: Mapping[str, Figure]
    """`accuracy`, `balanced_accuracy`, `top5_accuracy` of more than five classes, `log_loss`, `ece`, and the last two
    after temperature scaling as `log_loss_scaled`, `ece_scaled`"""
    recalls: tuple[Recall, ...]
    """Of the classes that the split has, in the set's order; their mean is the balanced accuracy"""
    confusion: np.ndarray
    """int64 [true classes, predicted classes]: images"""
    confusions: tuple[Confusion, ...]
    """The most frequent ones; as they were chosen for that, their shares are rather too large than too small"""

    @property
    def accuracy(self) -> float:
        return self.figures["accuracy"].value

    def as_json(self) -> dict[str, float | int]:
        """What the verb prints last: every figure, and the ends of its interval as `..._low` and `..._high`."""
        flat = {key: value for name, figure in self.figures.items() for key, value in _flat(name, figure).items()}
        return {**flat, "temperature": self.temperature, "n": self.n}

    def whole_json(self) -> dict[str, Any]:
        """That, and what is known of each class."""
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
