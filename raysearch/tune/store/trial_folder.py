"""What a search reads from a training's folder, and what it removes there."""

import shutil

from raysearch.paths import TrialPaths
from raysearch.train.result import read_metrics


def clear(folder: TrialPaths) -> None:
    """Remove files that only a running training needs, and unfinished files of killed processes."""
    folder.resume.unlink(missing_ok=True)
    folder.paused.unlink(missing_ok=True)
    shutil.rmtree(folder.ray, ignore_errors=True)
    for path in folder.root.rglob(".*.part"):
        path.unlink(missing_ok=True)


def count_epochs_done(folder: TrialPaths) -> int:
    """The last epoch in `metrics.jsonl`, also if it was stopped partway; 0 before the first."""
    lines = read_metrics(folder)
    return lines[-1]["epoch"] if lines else 0


def has_evaluation(folder: TrialPaths) -> bool:
    """Whether the training was evaluated, and so has held-out predictions."""
    return any("held_out" in line for line in read_metrics(folder))


def read_error_summary(folder: TrialPaths) -> str:
    """The first line of `error.txt`: the type and message of the error that ended the training."""
    return folder.error.read_text().partition("\n")[0]
