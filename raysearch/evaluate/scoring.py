"""Scores a checkpoint set on one split of a source; prints the figures and writes them to a file."""

import json
from pathlib import Path

from rich.console import Console

from raysearch.errors import UserError
from raysearch.evaluate.evaluation import evaluate
from raysearch.evaluate.results import Evaluation
from raysearch.evaluate.terminal import ROWS_SHOWN, confusion_table, confusions_table, figures_table, recalls_table
from raysearch.io import display_path, write_text
from raysearch.paths import Crops
from raysearch.predict.checkpoint_set import load_set
from raysearch.predict.inputs import open_split
from raysearch.predict.table_file import check_out


def score_set(
    set_dir: Path, data: str, split: str, *, tta: Crops | None = None, out: Path | None = None, overwrite: bool = False
) -> None:
    """Score the set in ``set_dir`` on a split of ``data``; the arguments are the options of `raysearch.evaluate`.

    Raises `UserError`, `SetError` and `DataError`.
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
    """Print the tables; the whole confusion matrix only if it fits the terminal."""
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
    """Write one line per key; `indent` would write one line per cell of the confusion matrix."""
    lines = [
        f"  {json.dumps(key)}: {json.dumps(value, allow_nan=False)}" for key, value in evaluation.whole_json().items()
    ]
    try:
        write_text(out, "{\n" + ",\n".join(lines) + "\n}\n")
    except OSError as error:
        raise UserError(f"--out {display_path(out)}: cannot be written ({error.strerror or error})") from error
    print(f"Written to {display_path(out)}")
