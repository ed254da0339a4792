"""Predictions as a table with one row per image."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from rich.table import Table

from raysearch.errors import UserError
from raysearch.predict.progress import PredictedBatch


@dataclass(frozen=True)
class Columns:
    """Columns of the table of predictions.

    They are `id`, `prediction` (class name), `confidence` (its probability), `agreement`, then `top1`, `top1_prob`, ...
    up to ``top_k``, then `prob_<class>` for each class.

    `agreement`: total weight of the members whose own best class is the prediction, from 0 to 1.
    """

    classes: Sequence[str]
    weights: Sequence[float]
    """Weights of the members, which sum to 1"""
    top_k: int = 0

    def __post_init__(self) -> None:
        if self.top_k > len(self.classes):
            raise UserError(f"--top-k: must be at most {len(self.classes)}, the number of classes, got {self.top_k}")

    @property
    def schema(self) -> pa.Schema:
        tops = [
            field
            for k in range(1, self.top_k + 1)
            for field in ((f"top{k}", pa.string()), (f"top{k}_prob", pa.float64()))
        ]
        return pa.schema(
            [
                ("id", pa.string()),
                ("prediction", pa.string()),
                ("confidence", pa.float64()),
                ("agreement", pa.float64()),
                *tops,
                *((f"prob_{name}", pa.float64()) for name in self.classes),
            ]
        )

    def build_table(self, batch: PredictedBatch, probs: np.ndarray) -> pa.Table:
        """A table with one row per image of ``batch``.

        ``probs``: float64 [samples, classes], the uncalibrated or calibrated probabilities to show. The ranking of the
        classes uses the uncalibrated ones; of equal classes, the first one wins.
        """
        names = np.array(self.classes, dtype=object)
        order = np.argsort(-batch.vote, axis=1, kind="stable")
        in_order = np.take_along_axis(probs, order, axis=1)
        tops = [column for k in range(self.top_k) for column in (names[order[:, k]], in_order[:, k])]
        best = order[:, 0]
        agreement = np.array(self.weights) @ (batch.members.argmax(axis=2) == best)
        agreement = agreement.round(9)  # hides rounding errors of the sum, such as 0.9999999999999999
        columns = [batch.ids, names[best], in_order[:, 0], agreement, *tops, *probs.T]
        return pa.table(
            [pa.array(column, field.type) for column, field in zip(columns, self.schema, strict=True)], self.schema
        )


def format_table(rows: pa.Table, top_k: int) -> Table:
    """A table for the terminal, without the `prob_<class>` columns. Names of the next best classes include their
    probability."""
    next_best = [f"top{k}" for k in range(2, top_k + 1)]
    table = Table()
    table.add_column("id", overflow="fold")
    table.add_column("prediction", overflow="fold")
    table.add_column("confidence", justify="right", no_wrap=True)
    table.add_column("agreement", justify="right", no_wrap=True)
    for name in next_best:
        table.add_column(name, overflow="fold")
    for row in rows.to_pylist():
        others = (f"{row[name]} {row[f'{name}_prob']:.3f}" for name in next_best)
        table.add_row(row["id"], row["prediction"], f"{row['confidence']:.3f}", f"{row['agreement']:.2f}", *others)
    return table
