"""A searcher on a stored study, with the calls of Tune made by hand."""

import json
from pathlib import Path
from typing import Any

import optuna

from raysearch.paths import StudyPaths
from raysearch.space import Space, space_from
from raysearch.tune.on_ray.searcher import StudySearcher
from raysearch.tune.store.study import open_storage
from raysearch.tune.values import report_of


class Listener:
    def __init__(self) -> None:
        self.events: list[tuple[str, int]] = []

    def started(self, number: int, config: Any, epochs_done: int) -> None:
        self.events.append(("started", number))

    def reported(self, number: int, report: dict[str, Any]) -> None:
        self.events.append(("reported", number))

    def ended(self, number: int, result: dict[str, Any]) -> None:
        self.events.append((result["state"], number))

    def interrupted(self, number: int, reason: str) -> None:
        self.events.append((reason, number))

    def estimated(self, ensemble: Any) -> None: ...

    def noted(self, text: str) -> None:
        self.events.append((text, -1))


def make_space(**search: Any) -> Space:
    trial = {"epochs": 4, "method": {"alpha": {"loguniform": [0.01, 1.0]}}}
    return space_from({"study": "toy", "search": {"trials": 3, **search}, "trial": trial}, "toy.yaml")


def make_searcher(root: Path, space: Space, concurrency: int = 2, error: Exception | None = None) -> StudySearcher:
    """``error``: the error that Tune has for every trial whose process died."""
    root.mkdir(exist_ok=True)
    paths = StudyPaths(root)
    stored = open_storage(paths, space.study, space.search)
    return StudySearcher(stored, space, paths, concurrency, Listener(), lambda trial_id: error)


def fail(searcher: StudySearcher, trial_id: str, number: int) -> None:
    """A training raises an error."""
    searcher.paths.trial(number).error.write_text("Diverged: the loss is nan\n\nTraceback ...\n")
    searcher.on_trial_complete(trial_id, error=True)


def stored(root: Path, space: Space) -> list[optuna.trial.FrozenTrial]:
    return open_storage(StudyPaths(root), space.study, space.search).trials


def line(epoch: int, student: float, teacher: float) -> dict[str, Any]:
    views = {"student-final": student, "teacher-final": teacher}
    figures = {view: {"accuracy": value, "log_loss": 1.0} for view, value in views.items()}
    return {"epoch": epoch, "seconds": float(epoch), "lr": 0.1, "train": {"loss": 1.0}, "held_out": figures}


def report(
    searcher: StudySearcher, trial_id: str, number: int, epoch: int, value: float, is_last: bool = False
) -> None:
    """A trial reports an evaluation: it writes its file, then Tune makes its call."""
    written = line(epoch, value, value - 0.1)
    folder = searcher.paths.trial(number)
    with folder.metrics.open("a") as file:
        file.write(json.dumps(written) + "\n")
    result = report_of(written, "accuracy", 4)
    if is_last:
        searcher.on_trial_complete(trial_id, result)
    else:
        searcher.on_trial_result(trial_id, result)
