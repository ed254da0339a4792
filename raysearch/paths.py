"""Every file name of a study, a trial and a checkpoint set. No other module builds these paths."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, cast, get_args

from raysearch.errors import StudyError

View = Literal[
    "student-final",
    "student-fused",
    "teacher-final",
    "teacher-fused",
    "student-final-mirror",
    "student-fused-mirror",
    "teacher-final-mirror",
    "teacher-fused-mirror",
    "student-final-tencrop",
    "student-fused-tencrop",
    "teacher-final-tencrop",
    "teacher-fused-tencrop",
]
"""Weights and inference mode of one training, as a candidate for an ensemble."""
VIEWS: tuple[View, ...] = get_args(View)
"""In the order of a library."""
Crops = Literal["center", "mirror", "tencrop"]
"""What a network sees of an image. Probabilities are the mean over the crops. `center`: the square image. `mirror`: the
square image and its horizontal mirror image. `tencrop`: ten crops of a larger square."""


class ViewParts(NamedTuple):
    """The parts of a view's name. `str` gives the name."""

    role: str
    """`student` or `teacher`: whose weights."""
    is_fused: bool = False
    """Whether the probabilities are fused with those of the auxiliary head."""
    crops: Crops = "center"
    side: int | None = None
    """Side of the square image, in pixels. None: the training's `inference_size`."""

    @property
    def mode(self) -> str:
        """Name of the inference mode: `center`, `mirror`, `tencrop`, or the side, such as `40px`."""
        return f"{self.side}px" if self.side else self.crops

    @property
    def kind(self) -> str:
        """The one of `VIEWS` with the same role, head and crops."""
        return str(self._replace(side=None))

    def __str__(self) -> str:
        head = "fused" if self.is_fused else "final"
        return f"{self.role}-{head}{'' if self.mode == 'center' else f'-{self.mode}'}"


VIEW_PATTERN = "(student|teacher)-(final|fused)(-mirror|-tencrop|-[1-9][0-9]*px)?"
"""Matches the names in `VIEWS` and those at another side (`student-final-40px`)."""


def view_parts(view: str) -> ViewParts:
    """Parse a view's name, which must match `VIEW_PATTERN`."""
    assert re.fullmatch(VIEW_PATTERN, view), f"{view!r}: not the name of a view"
    role, head, *rest = view.split("-")
    mode = rest[0] if rest else "center"
    side = int(mode.removesuffix("px")) if mode.endswith("px") else None
    return ViewParts(role, head == "fused", cast(Crops, "center" if side else mode), side)


@dataclass(frozen=True)
class TrialPaths:
    """The folder of one training."""

    root: Path

    @property
    def config(self) -> Path:
        """The training's `TrainingConfig`. `raysearch.train` accepts this file."""
        return self.root / "config.yaml"

    @property
    def info(self) -> Path:
        """Facts about the training on this machine: precision, device, number of parameters."""
        return self.root / "info.json"

    @property
    def metrics(self) -> Path:
        """One JSON object per line, one line per epoch."""
        return self.root / "metrics.jsonl"

    @property
    def result(self) -> Path:
        """The outcome: state, reason, value."""
        return self.root / "result.json"

    @property
    def error(self) -> Path:
        """The traceback of a failed training."""
        return self.root / "error.txt"

    @property
    def resume(self) -> Path:
        """The checkpoint after the last finished epoch."""
        return self.checkpoints / "resume.pt"

    @property
    def smaller_batches(self) -> Path:
        """Exists if the training ran out of memory and continued with half its batch size; contains the reason."""
        return self.root / "smaller_batches.txt"

    @property
    def paused(self) -> Path:
        """Exists while the training waits for disk space; contains the reason."""
        return self.root / "paused"

    @property
    def lock(self) -> Path:
        """Locked by the process that trains."""
        return self.root / "lock"

    @property
    def ray(self) -> Path:
        """Ray Train's files, while several processes train."""
        return self.root / "ray"

    @property
    def checkpoints(self) -> Path:
        """The large files: weights and the checkpoint to resume from."""
        return self.root / "checkpoints"

    def weights(self, role: str) -> Path:
        """Weights of ``student`` or ``teacher`` at its best epoch."""
        return self.checkpoints / f"{role}.safetensors"

    def predictions(self, view: str) -> Path:
        """Held-out predictions of a view."""
        return self.root / "predictions" / f"{view}.arrow"

    def stored_views(self) -> list[str]:
        """The views with stored held-out predictions, in the order of `VIEWS`, then by side."""
        names = [path.stem for path in self.predictions("*").parent.glob("*.arrow")]
        parts = [view_parts(name) for name in names if re.fullmatch(VIEW_PATTERN, name)]
        return [str(view) for view in sorted(parts, key=lambda view: (VIEWS.index(view.kind), view.side or 0))]

    def fold(self, number: int) -> "TrialPaths":
        """The folder of the training that holds out this fold, in a study with `data.folds`."""
        return TrialPaths(self.root / "folds" / str(number))

    @property
    def trainings(self) -> "list[TrialPaths]":
        """The folders of the trial's trainings: one per fold, in order, or this folder if there are no folds."""
        folder = self.root / "folds"
        numbers = sorted(int(path.name) for path in folder.iterdir() if path.name.isdigit()) if folder.is_dir() else []
        return [self.fold(number) for number in numbers] or [self]

    def features(self, role: str) -> Path:
        """Penultimate features of the held-out split, from the same weights as the predictions."""
        return self.root / "features" / f"{role}.arrow"


@dataclass(frozen=True)
class StudyPaths:
    """The folder of one study."""

    root: Path

    @property
    def study(self) -> Path:
        """The resolved space, versions, commit and data fingerprint (`raysearch.study_file`)."""
        return self.root / "study.yaml"

    @property
    def database(self) -> Path:
        """The Optuna storage. `optuna-dashboard sqlite:///study.db` opens it."""
        return self.root / "study.db"

    @property
    def stop(self) -> Path:
        """While this file exists, running trials stop after their current batch."""
        return self.root / "stop"

    @property
    def lock(self) -> Path:
        """Locked by the running search."""
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
        """The study that trains an ensemble's members again, on train and held_out together."""
        return StudyPaths(self.root / "refits" / ensemble)

    @property
    def refit_of(self) -> Path:
        """In a refit study: which of its trials replace which trials of the original study."""
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
        """Return self if the folder holds a study. Otherwise raises `StudyError` with the reason."""
        if not self.root.is_dir():
            raise StudyError(f"{self.root}: no such folder; use the folder that `raysearch tune` printed")
        if not self.study.is_file():
            raise StudyError(
                f"{self.root}: not a study: {self.study.name} is missing; use the folder that `raysearch tune` printed"
            )
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
        """The model card, a description of the set for people."""
        return self.root / "README.md"

    @property
    def onnx(self) -> Path:
        """The whole ensemble as one ONNX file, if it was exported."""
        return self.root / "ensemble.onnx"

    def member(self, name: str) -> Path:
        """The folder of one training's weights, in timm's local-dir layout."""
        return self.root / "members" / name


@dataclass(frozen=True)
class FitPaths:
    """The folder of one fit."""

    root: Path

    @property
    def space(self) -> Path:
        """The space of the study, with everything that the fit has decided. `raysearch tune` accepts this file."""
        return self.root / "space.yaml"

    @property
    def state(self) -> Path:
        """The budget, and how much of it is spent (`raysearch.fit.clock`)."""
        return self.root / "fit.json"

    @property
    def study(self) -> StudyPaths:
        return StudyPaths(self.root / STUDY)

    @property
    def set(self) -> Path:
        """The verified checkpoint set of the best networks so far."""
        return self.root / "set"

    @property
    def new_set(self) -> Path:
        """The next set, before it replaces `set`."""
        return self.root / ".set.new"

    @property
    def lock(self) -> Path:
        """Locked by the running fit."""
        return self.root / "lock"


STUDY = "study"
"""Name of a fit's study."""

MEMBER_CONFIG = "config.json"
MEMBER_WEIGHTS = "model.safetensors"
MEMBER_AUX_HEAD = "aux_head.safetensors"


def data_cache() -> Path:
    """The folder for decoded images: `$RAYSEARCH_CACHE`, or `raysearch` in the user's cache folder."""
    if named := os.environ.get("RAYSEARCH_CACHE"):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "raysearch"
