"""Evaluates a checkpoint set on a labelled split. Classes are matched by name, not by position."""

import numpy as np

from raysearch.errors import DataError, did_you_mean
from raysearch.evaluate.bootstrap import SEED, draw_shares, draw_totals, share_figure
from raysearch.evaluate.figures import compute_shares, count_confusion
from raysearch.evaluate.metrics import Resampling, compute_figures, summarize
from raysearch.evaluate.results import Confusion, Evaluation, Recall
from raysearch.evaluate.samples import Samples
from raysearch.predict.checkpoint_set import CheckpointSet
from raysearch.predict.inputs import LabelledSplit
from raysearch.predict.progress import predict_batches

PAIRS = 20
"""Number of confusions that get an interval: the most frequent ones."""


def evaluate(checkpoint_set: CheckpointSet, split: LabelledSplit) -> Evaluation:
    """Predict every image of ``split`` and compute all figures. Raises `DataError` if the set lacks a class."""
    labels = match_labels(checkpoint_set.classes, split)
    batches: list[Samples] = []
    done = 0
    for batch in predict_batches(checkpoint_set, split, []):
        batch_labels = labels[done : done + len(batch)]
        batches.append(summarize(batch.vote, checkpoint_set.calibrated(batch.vote), batch_labels))
        done += len(batch)
    return compute_evaluation(Samples.concatenate(batches), checkpoint_set.classes, checkpoint_set.manifest.temperature)


def compute_evaluation(samples: Samples, classes: tuple[str, ...], temperature: float) -> Evaluation:
    """All figures of ``samples``, with their intervals."""
    rng = np.random.default_rng(SEED)
    confusion = count_confusion(samples, len(classes))
    totals = confusion.sum(axis=1)
    # The order of the draws is fixed: totals, recalls, metrics, confusions. Another order changes the intervals.
    drawn = draw_totals(totals, rng)
    recalls = compute_shares(np.diag(confusion), totals)
    recall_draws = draw_shares(drawn, recalls, rng)
    named = zip(classes, totals.tolist(), recalls.tolist(), recall_draws.T, strict=True)
    return Evaluation(
        n=len(samples),
        classes=classes,
        temperature=temperature,
        figures=compute_figures(Resampling(samples, len(classes), totals, recalls, recall_draws, rng)),
        recalls=tuple(Recall(name, n, share_figure(share, n, draws)) for name, n, share, draws in named if n),
        confusion=confusion,
        confusions=_rank_confusions(confusion, classes, drawn, rng),
    )


def match_labels(classes: tuple[str, ...], split: LabelledSplit) -> np.ndarray:
    """int64 [samples]: the split's labels as indices in ``classes``.

    ``classes`` may contain classes without images in the split. Raises `DataError` naming each class that has images
    in the split and is missing in ``classes``.
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


def _rank_confusions(
    confusion: np.ndarray, classes: tuple[str, ...], drawn: np.ndarray, rng: np.random.Generator
) -> tuple[Confusion, ...]:
    true, taken_for = _most_frequent(confusion)
    counts, totals = confusion[true, taken_for], confusion.sum(axis=1)[true]
    draws = draw_shares(drawn[:, true], counts / totals, rng)
    return tuple(
        Confusion(classes[a], classes[b], int(n), share_figure(float(n / total), total, pair_draws))
        for a, b, n, total, pair_draws in zip(true, taken_for, counts, totals, draws.T, strict=True)
    )


def _most_frequent(confusion: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """int64 [pairs] each: true and predicted class of the largest off-diagonal cells, without empty cells."""
    wrong = confusion - np.diag(np.diag(confusion))
    cells = np.argsort(-wrong, axis=None, kind="stable")[:PAIRS]
    true, taken_for = np.unravel_index(cells[wrong.ravel()[cells] > 0], wrong.shape)
    return true, taken_for
