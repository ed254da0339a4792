"""What a search reads off a training's folder, and what it removes from it."""

import shutil

from raysearch.paths import TrialPaths
from raysearch.train.result import read_metrics


def clear(folder: TrialPaths) -> None:
    """Remove what only a training that goes on needs, and what kills have left of writes."""
    folder.resume.unlink(missing_ok=True)
    folder.paused.unlink(missing_ok=True)
    shutil.rmtree(folder.ray, ignore_errors=True)
    for part in folder.root.rglob(".*.part"):
        part.unlink(missing_ok=True)


def epochs_done(folder: TrialPaths) -> int:
    """The newest epoch of which there is a line, whole or not."""
    lines = read_metrics(folder)
    return lines[-1]["epoch"] if lines else 0


def has_evaluation(folder: TrialPaths) -> bool:
    """Whether there are held-out predictions."""
    return any("held_out" in line for line in read_metrics(folder))


def first_line(folder: TrialPaths) -> str:
    """Of the error that ended it."""
    return folder.error.read_text().partition("\n")[0]
