"""`python -m raysearch.evaluate SET_DIR --data SOURCE`: score a checkpoint set on labelled images."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from raysearch.cli import run
from raysearch.evaluate import Evaluation, evaluate
from raysearch.predict import load_set, open_split

ROWS_SHOWN = 20


def command(
    set_dir: Annotated[
        Path, typer.Argument(help="The set's folder, as raysearch.export wrote it.", show_default=False)
    ],
    data: Annotated[
        str,
        typer.Option(
            help="Labelled images: `digits`, a folder with test.parquet, a folder with class folders in test/, or one "
            "folder of class folders, which is split as the study splits. Only the split asked for need be there.",
            show_default=False,
        ),
    ],
    split: Annotated[str, typer.Option(help="The split to score: train, val or test.")] = "test",
) -> None:
    """Score a checkpoint set on labelled images, matching classes by name.

    Prints accuracy with its 95 % interval, balanced accuracy and log loss, the recall of each class, and as the last
    line one JSON object with the same figures.
    """
    checkpoint_set = load_set(set_dir)
    images = open_split(data, split, checkpoint_set.image_sizes, checkpoint_set.manifest.data)
    evaluation = evaluate(checkpoint_set, images)
    console = Console(markup=False, highlight=False, soft_wrap=True)
    console.print(_recalls(evaluation))
    console.print(_summary(evaluation, images.name))
    print(json.dumps(evaluation.as_json(), allow_nan=False))


def _recalls(evaluation: Evaluation) -> Table:
    """The classes, or where there are many those that are recognised worst."""
    shown = evaluation.recalls
    title = "Recall by class"
    if len(shown) > ROWS_SHOWN:
        shown = tuple(sorted(shown, key=lambda recall: recall.recall)[:ROWS_SHOWN])
        title = f"The {ROWS_SHOWN} classes of lowest recall"
    table = Table(title=title, title_justify="left")
    table.add_column("class")
    table.add_column("images", justify="right")
    table.add_column("recall", justify="right")
    for recall in shown:
        table.add_row(recall.name, str(recall.n), f"{100 * recall.recall:.1f} %")
    return table


def _summary(evaluation: Evaluation, split: str) -> str:
    low, high = evaluation.accuracy_low, evaluation.accuracy_high
    return (
        f"{evaluation.n} images of {split}\n"
        f"accuracy           {100 * evaluation.accuracy:.1f} % (95 % interval {100 * low:.1f} to {100 * high:.1f})\n"
        f"balanced accuracy  {100 * evaluation.balanced_accuracy:.1f} %\n"
        f"log loss           {evaluation.log_loss:.3f}"
    )


def main() -> None:
    """Run the verb."""
    run(command)


if __name__ == "__main__":
    main()
