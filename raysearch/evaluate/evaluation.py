"""How well a checkpoint set does on a labelled split. Classes are matched by name, never by position."""

import numpy as np

from raysearch.errors import DataError, did_you_mean
from raysearch.evaluate.bootstrap import (
    RESAMPLES,
    SEED,
    calibration_figure,
    drawn_means,
    drawn_shares,
    drawn_totals,
    percentile_figure,
    share_figure,
)
from raysearch.evaluate.figures import Figure, confusion_of, shares
from raysearch.evaluate.results import Confusion, Evaluation, Recall
from raysearch.evaluate.samples import TOP_K, Samples
from raysearch.predict.checkpoint_set import CheckpointSet
from raysearch.predict.inputs import LabelledSplit
from raysearch.predict.progress import predictions

PAIRS = 20
"""Confusions that get an interval, the most frequent ones."""


def evaluate(checkpoint_set: CheckpointSet, split: LabelledSplit) -> Evaluation:
    """Predict every image of ``split`` and compare. Raises `DataError` for classes that the set does not know."""
    labels = labels_in_order_of(checkpoint_set.classes, split)
    parts: list[Samples] = []
    done = 0
    for batch in predictions(checkpoint_set, split, []):
        own = labels[done : done + len(batch)]
        parts.append(Samples.of(batch.vote, checkpoint_set.calibrated(batch.vote), own))
        done += len(batch)
    return evaluated(Samples.joined(parts), checkpoint_set.classes, checkpoint_set.manifest.temperature)


def evaluated(samples: Samples, classes: tuple[str, ...], temperature: float) -> Evaluation:
    """All figures of some samples, with their intervals."""
    rng = np.random.default_rng(SEED)
    confusion = confusion_of(samples, len(classes))
    totals = confusion.sum(axis=1)
    drawn = drawn_totals(totals, rng)
    recalls = shares(np.diag(confusion), totals)
    recall_draws = drawn_shares(drawn, recalls, rng)
    named = zip(classes, totals.tolist(), recalls.tolist(), recall_draws.T, strict=True)
    return Evaluation(
        n=len(samples),
        classes=classes,
        temperature=temperature,
        figures={
            **_accuracies(samples, len(classes), rng),
            "balanced_accuracy": _balanced(recalls, recall_draws, totals),
            **_probability_figures(samples, rng),
        },
        recalls=tuple(Recall(name, n, share_figure(share, n, draws)) for name, n, share, draws in named if n),
        confusion=confusion,
        confusions=_confusions(confusion, classes, drawn, rng),
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


def _accuracies(samples: Samples, num_classes: int, rng: np.random.Generator) -> dict[str, Figure]:
    """`accuracy`, and `top5_accuracy` where there are more classes than five."""
    n = len(samples)
    found = {"accuracy": samples.is_correct.mean()}
    if num_classes > TOP_K:
        found[f"top{TOP_K}_accuracy"] = samples.is_in_top.mean()
    totals = np.full(RESAMPLES, n)
    return {name: share_figure(float(s), n, drawn_shares(totals, s, rng)) for name, s in found.items()}


def _balanced(recalls: np.ndarray, draws: np.ndarray, totals: np.ndarray) -> Figure:
    """The mean of the recalls that there are.

    It varies as the plain accuracy of so many images does: classes^2 / sum(1 / images of the class), which is all
    images where classes are of a size.
    """
    n = np.count_nonzero(totals) ** 2 / (1 / totals[totals > 0]).sum()
    return share_figure(float(np.nanmean(recalls)), n, np.nanmean(draws, axis=1))


def _probability_figures(samples: Samples, rng: np.random.Generator) -> dict[str, Figure]:
    losses = np.stack([samples.losses, samples.losses_scaled], axis=1)
    draws = drawn_means(losses, rng)
    raw, scaled = (percentile_figure(float(losses[:, of].mean()), draws[:, of]) for of in range(2))
    return {
        "log_loss": raw,
        "log_loss_scaled": scaled,
        "ece": calibration_figure(samples.confidence, samples.is_correct, rng),
        "ece_scaled": calibration_figure(samples.confidence_scaled, samples.is_correct, rng),
    }


def _confusions(
    confusion: np.ndarray, classes: tuple[str, ...], drawn: np.ndarray, rng: np.random.Generator
) -> tuple[Confusion, ...]:
    true, taken_for = _most_frequent(confusion)
    counts, totals = confusion[true, taken_for], confusion.sum(axis=1)[true]
    draws = drawn_shares(drawn[:, true], counts / totals, rng)
    return tuple(
        Confusion(classes[a], classes[b], int(n), share_figure(float(n / total), total, own))
        for a, b, n, total, own in zip(true, taken_for, counts, totals, draws.T, strict=True)
    )


def _most_frequent(confusion: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """int64 [pairs] each: true and predicted class of the largest cells off the diagonal; empty cells are left out."""
    wrong = confusion - np.diag(np.diag(confusion))
    cells = np.argsort(-wrong, axis=None, kind="stable")[:PAIRS]
    true, taken_for = np.unravel_index(cells[wrong.ravel()[cells] > 0], wrong.shape)
    return true, taken_for
