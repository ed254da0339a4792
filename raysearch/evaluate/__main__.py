"""`python -m raysearch.evaluate SET_DIR --data SOURCE`: score a checkpoint set on labelled images."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from raysearch.cli import run
from raysearch.errors import UserError
from raysearch.evaluate import Evaluation, evaluate
from raysearch.evaluate.shown import ROWS_SHOWN, confusion_table, confusions_table, figures_table, recalls_table
from raysearch.io import display_path, write_text
from raysearch.predict import Tta, load_set, open_split
from raysearch.predict.table_file import check_out


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
    tta: Annotated[
        Tta | None,
        typer.Option(help="How every member looks at an image: its centre, or ten crops. Default: each as selected."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write all figures, those of each class and the whole confusion to this .json.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file --out.")] = False,
) -> None:
    """Score a checkpoint set on labelled images, matching classes by name.

    Prints accuracy, balanced accuracy, log loss and calibration error (ECE), the
    recall of each class and what it is taken for, each with a 95 % interval, and
    as the last line one JSON object with the figures of all images.

    Intervals are of a bootstrap: 1000 resamples of the images, seeded. Wilson's
    stands in for shares with fewer than 10 images right, or wrong, of which
    resamples say too little.
    """
    if out:
        check_out(out, overwrite=overwrite, endings=(".json",))
    checkpoint_set = load_set(set_dir)
    if tta:
        checkpoint_set = checkpoint_set.with_tta(tta)
    images = open_split(data, split, checkpoint_set.image_sizes, checkpoint_set.manifest.data)
    evaluation = evaluate(checkpoint_set, images)
    _print(evaluation, images.name)
    if out:
        _write(out, evaluation)
    print(json.dumps(evaluation.as_json(), allow_nan=False))


def _print(evaluation: Evaluation, split: str) -> None:
    """The confusion whole where it can be read, else the most frequent ones only."""
    console = Console(markup=False, highlight=False, soft_wrap=True)
    console.print(figures_table(evaluation, split))
    console.print(recalls_table(evaluation))
    if len(evaluation.classes) <= ROWS_SHOWN:
        confusion = confusion_table(evaluation)
        if console.measure(confusion).maximum <= console.width:
            console.print(confusion)
    if evaluation.confusions:
        console.print(confusions_table(evaluation))


def _write(out: Path, evaluation: Evaluation) -> None:
    """A line for each key, so that a large confusion does not make a million."""
    lines = [
        f"  {json.dumps(key)}: {json.dumps(value, allow_nan=False)}" for key, value in evaluation.whole_json().items()
    ]
    try:
        write_text(out, "{\n" + ",\n".join(lines) + "\n}\n")
    except OSError as error:
        raise UserError(f"--out {display_path(out)}: cannot be written ({error.strerror or error})") from error
    print(f"Written to {display_path(out)}")


def main() -> None:
    """Run the verb."""
    run(command)


if __name__ == "__main__":
    main()
