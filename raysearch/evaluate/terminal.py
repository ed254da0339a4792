"""Tables of an evaluation for the terminal."""

from rich.table import Table

from raysearch.evaluate.figures import Figure
from raysearch.evaluate.metrics import METRICS, show_percent
from raysearch.evaluate.results import Evaluation

ROWS_SHOWN = 20
"""Maximum number of rows in a table with one row per class."""
CONFUSIONS_SHOWN = 10


def figures_table(evaluation: Evaluation, split: str) -> Table:
    """One row for each metric."""
    table = Table(title=f"{evaluation.n} images of {split}", title_justify="left")
    table.add_column("")
    table.add_column("", justify="right")
    table.add_column("95 % interval", justify="right")
    for metric in METRICS:
        if figure := evaluation.figures.get(metric.name):
            label = f"{metric.label} at temperature {evaluation.temperature:.3g}" if metric.is_scaled else metric.label
            interval = f"{metric.show(figure.low)} to {metric.show(figure.high)}"
            table.add_row(label, f"{metric.show(figure.value)}{metric.unit}", interval)
    return table


def recalls_table(evaluation: Evaluation) -> Table:
    """One row per class; if there are many classes, only those with the lowest recall."""
    rows = evaluation.recalls
    title = "Recall by class"
    if len(rows) > ROWS_SHOWN:
        rows = tuple(sorted(rows, key=lambda recall: recall.share.value)[:ROWS_SHOWN])
        title = f"The {ROWS_SHOWN} classes with the lowest recall"
    table = Table(title=title, title_justify="left")
    table.add_column("class", overflow="fold")
    for header in ("images", "recall", "95 % interval"):
        table.add_column(header, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(row.name, str(row.n), *_percent(row.share))
    return table


def confusion_table(evaluation: Evaluation) -> Table:
    """Percentage of each class's images predicted as each class; column numbers refer to the rows."""
    table = Table(title="Confusion: % of a class's images predicted as each class", title_justify="left", box=None)
    table.add_column("", justify="right")
    table.add_column("class", max_width=20, no_wrap=True, overflow="ellipsis")
    for number in range(len(evaluation.classes)):
        table.add_column(str(number), justify="right", no_wrap=True)
    for number, (name, row) in enumerate(zip(evaluation.classes, evaluation.confusion, strict=True)):
        if total := row.sum():
            table.add_row(str(number), name, *(f"{100 * n / total:.0f}" if n else "." for n in row))
    return table


def confusions_table(evaluation: Evaluation) -> Table:
    """The most frequent confusions."""
    table = Table(title="Most frequent confusions", title_justify="left")
    table.add_column("class", overflow="fold")
    table.add_column("predicted as", overflow="fold")
    for header in ("images", "share of class", "95 % interval"):
        table.add_column(header, justify="right", no_wrap=True)
    for row in evaluation.confusions[:CONFUSIONS_SHOWN]:
        table.add_row(row.name, row.taken_for, str(row.n), *_percent(row.share))
    return table


def _percent(figure: Figure) -> tuple[str, str]:
    return f"{show_percent(figure.value)} %", f"{show_percent(figure.low)} to {show_percent(figure.high)}"
