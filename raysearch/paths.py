"""The only place that knows a file name: what lies where in a study, a trial and a checkpoint set."""

import os
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


class ViewParts(NamedTuple):
    """What a view's name says; `str` gives the name."""

    role: str
    """`student` or `teacher`: whose weights."""
    is_fused: bool = False
    """Whether the auxiliary head has a share in the probabilities."""
    is_tencrop: bool = False
    """Whether they are the mean over ten crops of a larger square, and not of the whole square."""

    def __str__(self) -> str:
        return f"{self.role}-{'fused' if self.is_fused else 'final'}{'-tencrop' if self.is_tencrop else ''}"


def view_parts(view: str) -> ViewParts:
    """The parts of one of `VIEWS`."""
    role, head, *crops = view.split("-")
    return ViewParts(role, head == "fused", crops == ["tencrop"])


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
        """Held-out predictions of one of `VIEWS`."""
        return self.root / "predictions" / f"{view}.arrow"

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

    def member(self, name: str) -> Path:
        """A member's folder, in timm's local-dir layout."""
        return self.root / "members" / name


MEMBER_CONFIG = "config.json"
MEMBER_WEIGHTS = "model.safetensors"
MEMBER_AUX_HEAD = "aux_head.safetensors"


def data_cache() -> Path:
    """Where decoded images are kept: `$RAYSEARCH_CACHE`, else `raysearch` in the user's cache folder."""
    if named := os.environ.get("RAYSEARCH_CACHE"):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "raysearch"
