"""Cells of an ablation's tables, for the page and as Markdown."""

from collections.abc import Sequence

from raysearch.report.ablation import Estimate, RowFigures, TableFigures

NOTE = (
    "Accuracy: held-out accuracy in % after the last epoch, mean ± standard error over the seeds; no epoch was "
    "selected. Differences are in percentage points and paired by seed: to the row above (or the named row) and to the "
    "first row. Best epoch: accuracy at the epoch selected on the same held-out images, which is too optimistic. "
    "Teacher: the moving average of the weights after the last epoch."
)
PUBLISHED_NOTE = (
    "Published: figures from the papers, for other data and other networks. They are not results of this study."
)
NO_VALUE = "–"


def list_columns(table: TableFigures) -> list[str]:
    """The table's headers."""
    ours = ["Row", "Seeds", "Accuracy", "To the row above", "To the first row", "Best epoch", "Teacher"]
    return [*ours, "Published"] if _is_published(table) else ours


def format_cells(table: TableFigures) -> list[list[str]]:
    """Text of the cells, row by row."""
    return [_cells(table, index) for index in range(len(table.rows))]


def list_notes(tables: Sequence[TableFigures]) -> list[str]:
    """Notes below the tables: how to read them, and which trainings are missing."""
    lines = [NOTE, *([PUBLISHED_NOTE] if any(map(_is_published, tables)) else [])]
    gaps = [
        f"{_name(row)} ({table.key}): {', '.join(map(str, row.missing))}"
        for table in tables
        for row in table.rows
        if row.missing
    ]
    return [*lines, f"Seeds without a complete training: {'; '.join(gaps)}."] if gaps else lines


def to_markdown(tables: Sequence[TableFigures]) -> str:
    """The tables with their titles, and the notes."""
    blocks = []
    for table in tables:
        head = list_columns(table)
        rule = ["---", *["---:"] * (len(head) - 1)]
        lines = [f"| {' | '.join(_escaped(row))} |" for row in (head, rule, *format_cells(table))]
        blocks += [f"**{table.title}**", "\n".join(lines)]
    return "\n\n".join([*blocks, *list_notes(tables)])


def _cells(table: TableFigures, index: int) -> list[str]:
    figures = table.rows[index]
    row, seeds = figures.row, len(table.seeds)
    above = table.rows[index - 1].row.name if index else None
    named = "" if row.over in (above, None) else f" (to {row.over})"
    done = f"{seeds - len(figures.missing)} of {seeds}" if figures.missing else f"{seeds}"
    if figures.last is None:
        ours = [_name(figures), done, "no complete training", *[NO_VALUE] * 4]
    else:
        ours = [
            _name(figures),
            done,
            format_estimate(figures.last),
            format_difference(figures.change, seeds) + (named if figures.change else ""),
            format_difference(figures.gain, seeds),
            format_estimate(figures.best),
            format_estimate(figures.teacher),
        ]
    theirs = ", ".join(f"{value:.2f} ({source})" for source, value in row.theirs.items())
    return [*ours, theirs or NO_VALUE] if _is_published(table) else ours


def format_estimate(figure: Estimate | None) -> str:
    """``57.73 ± 0.40``; without the error for a single seed."""
    if figure is None:
        return NO_VALUE
    return f"{figure.mean:.2f}" + ("" if figure.error is None else f" ± {figure.error:.2f}")


def format_difference(figure: Estimate | None, seeds: int) -> str:
    """``+1.20 ± 0.40``; followed by the number of seeds if it is smaller than ``seeds``."""
    if figure is None:
        return NO_VALUE
    partly = "" if figure.n == seeds else f" over {figure.n}"
    return f"{figure.mean:+.2f}".replace("-", "−") + ("" if figure.error is None else f" ± {figure.error:.2f}") + partly


def _name(figures: RowFigures) -> str:
    view = figures.row.view
    return figures.row.name if view == "student-final" else f"{figures.row.name} ({view})"


def _is_published(table: TableFigures) -> bool:
    return any(figures.row.theirs for figures in table.rows)


def _escaped(row: Sequence[str]) -> list[str]:
    return [cell.replace("|", "\\|") for cell in row]
