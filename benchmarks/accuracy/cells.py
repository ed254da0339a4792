"""The cells of the comparison: which method runs on which set, for how long and with how many labels."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.accuracy.peers import PEERS, SETS

LABELS = {
    100: "100 labels a class (digits 40): train and val together",
    50: "50 labels a class (digits 20): train alone, which a method may split",
}
"""The protocols."""

MINUTES = 10.0
COLUMNS = (*((name, MINUTES) for name in SETS), ("cifar10", 30.0))
"""The columns of the table: set and minutes."""


@dataclass(frozen=True)
class Cell:
    """One method on one set within one budget."""

    peer: str
    data: str
    minutes: float
    labels: int = 100

    @classmethod
    def from_line(cls, line: Mapping[str, Any]) -> "Cell":
        return cls(line["peer"], line["set"], line["minutes"], line["labels"])

    def __str__(self) -> str:
        return f"{self.peer} on {self.data}, {self.minutes:g} minutes, {self.labels} labels a class"


def select_cells(
    peer: str | None = None, data: str | None = None, minutes: float | None = None, labels: int = 100
) -> list[Cell]:
    """The planned cells of a method, a set and a budget; None means all.

    A budget that is not planned applies to all sets.
    """
    columns: Sequence[tuple[str, float]] = COLUMNS
    if minutes is not None:
        columns = [column for column in COLUMNS if column[1] == minutes] or [(name, minutes) for name in SETS]
        if data is not None:
            columns = [(data, minutes)]
    return [
        Cell(name, column[0], column[1], labels)
        for column in columns
        for name in PEERS
        if peer in (None, name) and data in (None, column[0])
    ]


def cells_to_run(selected: Sequence[Cell], lines: Collection[Mapping[str, Any]], again: bool = False) -> list[Cell]:
    """The selected cells without a result. With ``again``, all selected cells."""
    done = {Cell.from_line(line) for line in lines}
    return [cell for cell in selected if again or cell not in done]
