"""An evaluation on the terminal."""

from rich.table import Table

from raysearch.ensemble.calibration import BINS
from raysearch.evaluate.figures import Figure
from raysearch.evaluate.results import Evaluation

ROWS_SHOWN = 20
"""Of a table with a row for each class."""
CONFUSIONS_SHOWN = 10
LABELS = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "top5_accuracy": "top-5 accuracy",
    "log_loss": "log loss",
    "log_loss_scaled": "log loss {scaled}",
    "ece": f"calibration error (ECE, {BINS} bins)",
    "ece_scaled": "calibration error {scaled}",
}


def figures_table(evaluation: Evaluation, split: str) -> Table:
    """The figures of all images."""
    table = Table(title=f"{evaluation.n} images of {split}", title_justify="left")
    table.add_column("")
    table.add_column("", justify="right")
    table.add_column("95 % interval", justify="right")
    scaled = f"at temperature {evaluation.temperature:.3g}"
    for name in [name for name in LABELS if name in evaluation.figures]:
        figure, label = evaluation.figures[name], LABELS[name].format(scaled=scaled)
        if name.startswith("log_loss"):
            table.add_row(label, f"{figure.value:.3f}", f"{figure.low:.3f} to {figure.high:.3f}")
        else:
            table.add_row(label, *_percent(figure))
    return table


def recalls_table(evaluation: Evaluation) -> Table:
    """The classes, or where there are many those that are recognised worst."""
    rows = evaluation.recalls
    title = "Recall by class"
    if len(rows) > ROWS_SHOWN:
        rows = tuple(sorted(rows, key=lambda recall: recall.share.value)[:ROWS_SHOWN])
        title = f"The {ROWS_SHOWN} classes of lowest recall"
    table = Table(title=title, title_justify="left")
    table.add_column("class", overflow="fold")
    for header in ("images", "recall", "95 % interval"):
        table.add_column(header, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(row.name, str(row.n), *_percent(row.share))
    return table


def confusion_table(evaluation: Evaluation) -> Table:
    """Of each class's images the per cent taken for each class; columns are numbered like the rows."""
    table = Table(title="Confusion: of a class's images, % taken for each", title_justify="left", box=None)
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
    table.add_column("taken for", overflow="fold")
    for header in ("images", "of the class", "95 % interval"):
        table.add_column(header, justify="right", no_wrap=True)
    for row in evaluation.confusions[:CONFUSIONS_SHOWN]:
        table.add_row(row.name, row.taken_for, str(row.n), *_percent(row.share))
    return table


def _percent(figure: Figure) -> tuple[str, str]:
    return f"{100 * figure.value:.1f} %", f"{100 * figure.low:.1f} to {100 * figure.high:.1f}"
