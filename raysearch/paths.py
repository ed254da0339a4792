"""The only place that knows a file name: what lies where in a study, a trial and a checkpoint set."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from raysearch.errors import StudyError

View = Literal[
    "student-final",
    "student-fused",
    "teacher-final",
    "teacher-fused",
    "student-final-tencrop",
    "student-fused-tencrop",
    "teacher-final-tencrop",
    "teacher-fused-tencrop",
]
"""Weights and inference of one training that can be an ensemble's member."""
VIEWS: tuple[View, ...] = get_args(View)
"""In the order in which they stand in a library."""


class ViewParts(NamedTuple):
    """What a view's name says; `str` gives the name."""

    role: str
    """`student` or `teacher`: whose weights."""
    is_fused: bool = False
    """Whether the auxiliary head has a share in the probabilities."""
    is_tencrop: bool = False
    """Whether they are the mean over ten crops of a larger square, and not of the whole square."""
    side: int | None = None
    """Side of the square image, in pixels, where it is another than the training's `inference_size`."""

    @property
    def kind(self) -> str:
        """The one of `VIEWS` that it is at another side, or itself."""
        return str(self._replace(side=None))

    def __str__(self) -> str:
        crops = "-tencrop" if self.is_tencrop else f"-{self.side}px" if self.side else ""
        return f"{self.role}-{'fused' if self.is_fused else 'final'}{crops}"


VIEW_PATTERN = "(student|teacher)-(final|fused)(-tencrop|-[1-9][0-9]*px)?"
"""Names of all views: of those in `VIEWS`, and of those of other sides (`student-final-40px`)."""


def view_parts(view: str) -> ViewParts:
    """The parts of a view's name, which must be one (`VIEW_PATTERN`)."""
    assert re.fullmatch(VIEW_PATTERN, view), f"{view!r}: not a view's name"
    role, head, *crops = view.split("-")
    is_tencrop = crops == ["tencrop"]
    side = int(crops[0].removesuffix("px")) if crops and not is_tencrop else None
    return ViewParts(role, head == "fused", is_tencrop, side)


@dataclass(frozen=True)
class TrialPaths:
    """The folder that one training leaves."""

    root: Path

    @property
    def config(self) -> Path:
        """The training's `TrainingConfig`; `raysearch.train` takes it as it is."""
        return self.root / "config.yaml"

    @property
    def info(self) -> Path:
        """What this machine made of the config: precision, device, number of parameters."""
        return self.root / "info.json"

    @property
    def metrics(self) -> Path:
        """One JSON object a line, a line an epoch."""
        return self.root / "metrics.jsonl"

    @property
    def result(self) -> Path:
        """How it ended: state, reason, value."""
        return self.root / "result.json"

    @property
    def error(self) -> Path:
        """The traceback of a training that failed."""
        return self.root / "error.txt"

    @property
    def resume(self) -> Path:
        """Everything to go on from, after the newest whole epoch."""
        return self.checkpoints / "resume.pt"

    @property
    def smaller_batches(self) -> Path:
        """Why the training went on with half its batch size: it was out of memory, once."""
        return self.root / "smaller_batches.txt"

    @property
    def paused(self) -> Path:
        """Stands while the training waits for room on the disk, and says so."""
        return self.root / "paused"

    @property
    def lock(self) -> Path:
        """Held by the process that trains."""
        return self.root / "lock"

    @property
    def ray(self) -> Path:
        """Ray Train's own files, while several processes train."""
        return self.root / "ray"

    @property
    def checkpoints(self) -> Path:
        """The files that take room: weights, and what to resume from."""
        return self.root / "checkpoints"

    def weights(self, role: str) -> Path:
        """Weights of ``student`` or ``teacher`` at its own best epoch."""
        return self.checkpoints / f"{role}.safetensors"

    def predictions(self, view: str) -> Path:
        """Held-out predictions of a view."""
        return self.root / "predictions" / f"{view}.arrow"

    def stored_views(self) -> list[str]:
        """The views whose held-out predictions are there: in the order of `VIEWS`, then by side."""
        names = [path.stem for path in self.predictions("*").parent.glob("*.arrow")]
        parts = [view_parts(name) for name in names if re.fullmatch(VIEW_PATTERN, name)]
        return [str(view) for view in sorted(parts, key=lambda view: (VIEWS.index(view.kind), view.side or 0))]

    def fold(self, number: int) -> "TrialPaths":
        """The folder of the training that one fold's images are held out from, of a study with `data.folds`."""
        return TrialPaths(self.root / "folds" / str(number))

    @property
    def trainings(self) -> "list[TrialPaths]":
        """The folders of the trial's trainings: its folds', in their order, or itself."""
        folder = self.root / "folds"
        numbers = sorted(int(path.name) for path in folder.iterdir() if path.name.isdigit()) if folder.is_dir() else []
        return [self.fold(number) for number in numbers] or [self]

    def features(self, role: str) -> Path:
        """Penultimate features of the held-out split, from the same weights as the predictions."""
        return self.root / "features" / f"{role}.arrow"


@dataclass(frozen=True)
class StudyPaths:
    """The folder of one search."""

    root: Path

    @property
    def study(self) -> Path:
        """The space as resolved, versions, commit, data fingerprint."""
        return self.root / "study.yaml"

    @property
    def database(self) -> Path:
        """The Optuna storage; `optuna-dashboard sqlite:///study.db` opens it."""
        return self.root / "study.db"

    @property
    def stop(self) -> Path:
        """While this file stands, running trials stop after their batch."""
        return self.root / "stop"

    @property
    def lock(self) -> Path:
        """Held by the running search."""
        return self.root / "lock"

    @property
    def report(self) -> Path:
        return self.root / "report.html"

    @property
    def ensembles(self) -> Path:
        return self.root / "ensembles"

    def ensemble(self, name: str) -> Path:
        return self.ensembles / f"{name}.json"

    def refit(self, ensemble: str) -> "StudyPaths":
        """The study in which an ensemble's members are trained again, on train and held_out together."""
        return StudyPaths(self.root / "refits" / ensemble)

    @property
    def refit_of(self) -> Path:
        """In a study that is a refit: which of its trials stand for which trials of the study above."""
        return self.root / "refit.json"

    def trial(self, number: int) -> TrialPaths:
        return TrialPaths(self.root / "trials" / f"{number:04d}")

    def trials(self) -> Iterator[tuple[int, TrialPaths]]:
        """Number and folder of every trial, in order."""
        folder = self.root / "trials"
        numbers = (int(p.name) for p in folder.iterdir() if p.name.isdigit()) if folder.is_dir() else ()
        for number in sorted(numbers):
            yield number, self.trial(number)

    def require(self) -> "StudyPaths":
        """Itself, if the folder holds a study; else a `StudyError` that says what is there."""
        if not self.root.is_dir():
            raise StudyError(f"{self.root}: no such folder; give the folder that raysearch.tune printed")
        if not self.study.is_file():
            raise StudyError(f"{self.root}: not a study: it has no {self.study.name}")
        return self


@dataclass(frozen=True)
class SetPaths:
    """The folder of an exported checkpoint set."""

    root: Path

    @property
    def manifest(self) -> Path:
        return self.root / "ensemble.json"

    @property
    def card(self) -> Path:
        """What the set is, for people."""
        return self.root / "README.md"

    @property
    def onnx(self) -> Path:
        """The whole vote as one file, where it was asked for."""
        return self.root / "ensemble.onnx"

    def member(self, name: str) -> Path:
        """A folder with one training's weights, in timm's local-dir layout."""
        return self.root / "members" / name


MEMBER_CONFIG = "config.json"
MEMBER_WEIGHTS = "model.safetensors"
MEMBER_AUX_HEAD = "aux_head.safetensors"


def data_cache() -> Path:
    """Where decoded images are kept: `$RAYSEARCH_CACHE`, else `raysearch` in the user's cache folder."""
    if named := os.environ.get("RAYSEARCH_CACHE"):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "raysearch"
