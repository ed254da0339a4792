"""Scores a checkpoint set or a training on one split of a source; prints the figures and writes them to a file."""

import json
from pathlib import Path

from rich.console import Console

from raysearch.errors import SetError, UserError
from raysearch.evaluate.evaluation import evaluate
from raysearch.evaluate.results import Evaluation
from raysearch.evaluate.terminal import ROWS_SHOWN, confusion_table, confusions_table, figures_table, recalls_table
from raysearch.io import display_path, write_text
from raysearch.paths import Crops, SetPaths, StudyPaths
from raysearch.predict.checkpoint_set import CheckpointSet, load_set
from raysearch.predict.inputs import open_split
from raysearch.predict.table_file import check_out
from raysearch.predict.training import is_training, load_training


def score_folder(
    folder: Path,
    data: str,
    split: str,
    *,
    view: str | None = None,
    tta: Crops | None = None,
    out: Path | None = None,
    overwrite: bool = False,
) -> None:
    """Score the set or the training in ``folder`` on a split of ``data``.

    The arguments are the options of `raysearch.evaluate`. Raises `UserError`, `SetError` and `DataError`.
    """
    if out:
        check_out(out, overwrite=overwrite, endings=(".json",))
    checkpoint_set = _load(folder, view)
    if tta:
        checkpoint_set = checkpoint_set.with_tta(tta)
    images = open_split(data, split, checkpoint_set.image_sizes, checkpoint_set.manifest.data)
    evaluation = evaluate(checkpoint_set, images)
    _print(evaluation, images.name)
    if out:
        _write(out, evaluation)
    print(json.dumps(evaluation.as_json(), allow_nan=False))


def _load(folder: Path, view: str | None) -> CheckpointSet:
    """The set in ``folder``, or a view of its training as a set; prints which view."""
    if not SetPaths(folder).manifest.is_file() and is_training(folder):
        trained = load_training(folder, view)
        networks = len(trained.checkpoint_set.members[0].models)
        mean = f", mean of {networks} networks, one per fold" if networks > 1 else ""
        print(f"{display_path(folder)}: view {trained.view} ({trained.choice}){mean}")
        return trained.checkpoint_set
    if view is not None:
        raise UserError("--view: only for the folder of a training; a checkpoint set states the views of its members")
    if folder.is_dir() and not SetPaths(folder).manifest.is_file() and not StudyPaths(folder).study.is_file():
        raise SetError(
            f"{display_path(folder)}: neither a checkpoint set nor a training; give a folder that `raysearch export` "
            "or `raysearch train` wrote, or that of a trial, such as runs/cr/trials/0003"
        )
    return load_set(folder)


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
