"""Predictions as a table: one row an image."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from rich.table import Table

from raysearch.errors import UserError
from raysearch.predict.progress import Predicted


@dataclass(frozen=True)
class Columns:
    """`id`, `prediction` (a class name), `confidence` (its probability), `agreement`, `top1`, `top1_prob`, ... as far
    as asked for, and a `prob_<class>` for each class.

    `agreement`: the share of the vote, by weight, of the members whose own best class is the prediction.
    """

    classes: Sequence[str]
    weights: Sequence[float]
    """Of the members; they sum to 1"""
    top_k: int = 0

    def __post_init__(self) -> None:
        if self.top_k > len(self.classes):
            raise UserError(f"--top-k: must be at most {len(self.classes)}, the set's classes, got {self.top_k}")

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

    def table(self, batch: Predicted, probs: np.ndarray) -> pa.Table:
        """A row for each image of ``batch``, with ``probs`` float64 [samples, classes]: its vote, or that calibrated.

        The order of the classes is the vote's, of equals the first class first.
        """
        names = np.array(self.classes, dtype=object)
        order = np.argsort(-batch.vote, axis=1, kind="stable")
        in_order = np.take_along_axis(probs, order, axis=1)
        tops = [column for k in range(self.top_k) for column in (names[order[:, k]], in_order[:, k])]
        best = order[:, 0]
        agreement = np.array(self.weights) @ (batch.members.argmax(axis=2) == best)
        agreement = agreement.round(9)
        columns = [batch.ids, names[best], in_order[:, 0], agreement, *tops, *probs.T]
        return pa.table(
            [pa.array(column, field.type) for column, field in zip(columns, self.schema, strict=True)], self.schema
        )


def shown(rows: pa.Table, top_k: int) -> Table:
    """For the terminal, without the columns of single classes; of the next best classes, the probability stands beside
    the name."""
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
