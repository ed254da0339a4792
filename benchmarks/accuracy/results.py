"""The file of results, one line of JSON per finished cell, and the table in the README."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.accuracy.cells import COLUMNS, LABELS, Cell
from benchmarks.accuracy.peers import PEERS

Line = Mapping[str, Any]


def read_lines(path: Path) -> list[dict[str, Any]]:
    """All lines of a file of results; none if the file does not exist."""
    return [json.loads(line) for line in path.read_text().splitlines() if line] if path.is_file() else []


def append_line(path: Path, line: Line) -> None:
    """Add the line of a finished cell."""
    with path.open("a") as file:
        file.write(json.dumps(line) + "\n")


def table(lines: Sequence[Line], labels: int = 100) -> str:
    """The Markdown table of a protocol, with its circumstances below.

    Rows are methods, columns are sets and budgets. The best accuracy of each column is bold. If a cell has several
    lines, the last one counts.
    """
    cells = {Cell.from_line(line): line for line in lines if line["labels"] == labels}
    if not cells:
        return f"No results with {labels} labels a class."
    others = sorted({(cell.data, cell.minutes) for cell in cells} - set(COLUMNS))
    columns = [column for column in (*COLUMNS, *others) if any((cell.data, cell.minutes) == column for cell in cells)]
    rows = [name for name in PEERS if any(cell.peer == name for cell in cells)]
    header = ["", *(f"{data}, {minutes:g} min" for data, minutes in columns)]
    text = [f"| {' | '.join(header)} |", "|---" * len(header) + "|"]
    best = {
        column: max(line["accuracy"] for cell, line in cells.items() if (cell.data, cell.minutes) == column)
        for column in columns
    }
    for name in rows:
        found = [cells.get(Cell(name, *column, labels)) for column in columns]
        shown = [_show(line, best[column]) for line, column in zip(found, columns, strict=True)]
        text.append(f"| {' | '.join([PEERS[name].label, *shown])} |")
    return "\n".join([*text, "", circumstances(list(cells.values()), labels)])


def _show(line: Line | None, best: float) -> str:
    if line is None:
        return ""
    accuracy = f"{100 * line['accuracy']:.1f}"
    interval = f"{100 * line['low']:.1f}-{100 * line['high']:.1f}"
    return f"{f'**{accuracy}**' if line['accuracy'] == best else accuracy} ({interval})"


def circumstances(lines: Sequence[Line], labels: int) -> str:
    """What the table's lines have in common: protocol, images, processors, commits and dates."""
    images = {line["set"]: f"{line['set']} {line['n_labelled']} labelled, {line['n_test']} test" for line in lines}
    dates = sorted({line["date"] for line in lines})
    commits = sorted({line["commit"] for line in lines})
    return (
        f"Accuracy on test in percent, with 95 % intervals. {LABELS[labels]}. "
        f"Images: {'; '.join(images.values())}. {'; '.join(sorted({line['processor'] for line in lines}))}. "
        f"{'Commit' if len(commits) == 1 else 'Commits'} {', '.join(commits)}. "
        f"{dates[0] if len(dates) == 1 else f'{dates[0]} to {dates[-1]}'}."
    )
