"""What a search will take: trials, epochs, hours, memory and disk, and what of it cannot be."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from raysearch.config import TrialConfig
from raysearch.io import display_path
from raysearch.space import ResourcesConfig, SearchConfig
from raysearch.train.disk import RESERVE
from raysearch.train.resource_check import ROLES, WORKER_BYTES, Cost, largest_stage
from raysearch.tune.planning.capacity import Capacity, counted

UNEQUAL = 5
"""Times as many images in one class as in another, above which it is said."""
SURELY = 0.5
"""Share of the estimated memory that a training surely takes: what is refused must not depend on the estimate."""


@dataclass(frozen=True)
class Trials:
    """The trials that are still to come."""

    first: tuple[TrialConfig, ...]
    """Known, whole or in part; the rest of their values is drawn here as it might be"""
    drawn: tuple[TrialConfig, ...]
    """A sample of what will be drawn"""
    rest: int
    """How many will be drawn"""

    @property
    def number(self) -> int:
        return len(self.first) + self.rest

    @property
    def every(self) -> tuple[TrialConfig, ...]:
        return (*self.first, *self.drawn)

    def about(self, of: Callable[[TrialConfig], float]) -> float:
        """The sum over all trials, where those to be drawn are like the sample's mean."""
        drawn = [of(trial) for trial in self.drawn]
        return sum(map(of, self.first)) + (self.rest * sum(drawn) / len(drawn) if drawn else 0)

    def most(self, of: Callable[[TrialConfig], float]) -> float:
        """The same where those to be drawn are all like the sample's greatest."""
        return sum(map(of, self.first)) + self.rest * max(map(of, self.drawn), default=0)


@dataclass(frozen=True)
class Hours:
    """Of the search: ``about``, where every trial runs to its end; ``least``, where as many are stopped early as the
    scheduler stops; ``most``, where every trial that is drawn is the longest of the sample. Trials side by side are
    taken to be as fast as one by itself."""

    about: float
    least: float
    most: float


@dataclass(frozen=True)
class Plan:
    """Computed from what is known before a search begins."""

    where: str
    """The space file's name"""
    root: Path
    """The study's folder"""
    resources: ResourcesConfig
    search: SearchConfig
    capacity: Capacity
    trials: Trials
    costs: Mapping[str, Cost]
    """By backbone"""
    classes: tuple[str, ...]
    images: Mapping[str, Sequence[int]]
    """Of each class, in train and held_out"""
    free_bytes: float
    """On the disk of ``root``"""
    folds: int = 1
    """Trainings of each trial; ``images`` are those of one of them"""
    epochs_done: int = 0
    """By the study's ended trials"""
    gpu_bytes: float | None = None
    """Memory of a GPU of this machine; None where trials use none, or it has none"""
    missing: str = "not tried"
    """Why no hours can be given, where they cannot"""

    @property
    def at_once(self) -> int:
        """Trainings."""
        return min(self.capacity.trials, self.folds * self.trials.number)

    @property
    def epochs(self) -> float:
        """Of all trials to come, to their ends, or what `search.epochs` leaves."""
        return self._within_budget(self._all_epochs)

    @property
    def least_epochs(self) -> float:
        """The same where as many trials are stopped early as may be expected."""
        return self._within_budget(self.least_share * self._all_epochs)

    @property
    def _all_epochs(self) -> float:
        return self.folds * self.trials.about(lambda trial: trial.total_epochs)

    def _within_budget(self, epochs: float) -> float:
        return epochs if self.search.epochs is None else min(epochs, max(0, self.search.epochs - self.epochs_done))

    @property
    def least_share(self) -> float:
        """Of the epochs, where as many trials are stopped early as may be expected; 1 where none is.

        Folds are stopped together: of a trial that has more than run at once only the last ones.
        """
        last = self.folds % self.at_once or self.at_once if self.at_once else self.folds
        stopped = min(last, self.folds) / self.folds
        return 1 - stopped + stopped * self._least_share_of_a_training

    @property
    def _least_share_of_a_training(self) -> float:
        grace, factor = self.search.grace, self.search.reduction_factor
        if self.search.scheduler == "none":
            return 1.0
        if self.search.scheduler == "median":
            return grace + (1 - grace) / 2
        share, rung, left = grace, grace, 1.0
        while rung < 1:
            left /= factor
            share, rung = share + left * (min(1, rung * factor) - rung), rung * factor
        return share

    @property
    def hours(self) -> Hours | None:
        """None where some backbone could not be tried. `search.timeout_s` is not looked at."""
        if any(self.costs[trial.backbone].seconds is None for trial in self.trials.every):
            return None
        if not self.trials.number:
            return Hours(0, 0, 0)
        longest = max(map(self.seconds_of, self.trials.every))
        about, most = (
            max(self.folds * total(self.seconds_of) / self.at_once, longest) / 3600 / self._all_epochs
            for total in (self.trials.about, self.trials.most)
        )
        return Hours(about * self.epochs, about * self.least_epochs, most * self.epochs)

    def seconds_of(self, trial: TrialConfig) -> float:
        train, held_out = (sum(self.images[split]) for split in ("train", "held_out"))
        return self.costs[trial.backbone].training_s(trial, train, held_out, self.resources.workers)

    def memory_of(self, trial: TrialConfig) -> float:
        """Main memory of one of its processes, in bytes."""
        on_gpu = self.resources.gpus_per_worker > 0
        return WORKER_BYTES + (0 if on_gpu else self.costs[trial.backbone].training_bytes(trial))

    @property
    def largest(self) -> TrialConfig:
        """The trial of most memory."""
        return max(self.trials.every, key=lambda trial: self.costs[trial.backbone].training_bytes(trial))

    @property
    def live_bytes(self) -> float:
        """What the trainings that run at once have on the disk."""
        live = [self.costs[trial.backbone].live_bytes() + self.predictions_of(trial) for trial in self.trials.every]
        return self.at_once * max(live, default=0)

    @property
    def kept_bytes(self) -> float:
        """What all trials leave: weights, as many as `search.checkpoints_gb` allows, predictions and features."""
        weights = self.folds * self.trials.about(lambda trial: ROLES * self.costs[trial.backbone].weights_bytes)
        budget = self.search.checkpoints_gb
        weights = weights if budget is None else min(weights, budget * 1e9)
        return weights + self.kept_predictions_bytes

    @property
    def kept_predictions_bytes(self) -> float:
        """What all trials leave beside weights; with folds once of each, and once put together."""
        times = 1 if self.folds == 1 else 2 * self.folds
        return times * self.trials.about(self.predictions_of)

    def predictions_of(self, trial: TrialConfig) -> float:
        """Bytes of a training's predictions and features."""
        return self.costs[trial.backbone].predictions_bytes(trial, sum(self.images["held_out"]), len(self.classes))

    def faults(self) -> list[str]:
        """What cannot be, and the nearest setting that can."""
        return [f"{self.where}: {fault}" for fault in [*self._memory_faults(), *self._disk_faults()]]

    def _memory_faults(self) -> Iterator[str]:
        sizes = [share.memory_bytes for share in self.capacity.shares]
        if not self.trials.every or not sizes or None in sizes:
            return
        room = max(size for size in sizes if size is not None)
        needed = self.memory_of(self.largest)
        if SURELY * needed <= room:
            return
        images = self.costs[self.largest.backbone].batch_within(self.largest, room - WORKER_BYTES)
        remedy = f"set {batch_place(self.largest)}={images}" if images >= 2 else "take smaller images or backbones"
        yield (
            f"{batch_place(self.largest)}: {self.largest.backbone!r} needs about {gb(needed)} for a batch of "
            f"{largest_stage(self.largest).batch_size}, but no node has more than {gb(room)}; {remedy}"
        )

    def _disk_faults(self) -> Iterator[str]:
        room = max(0.0, self.free_bytes - RESERVE)
        if self.live_bytes <= room:
            return
        fits = int(room / (self.live_bytes / self.at_once))
        remedy = f"set resources.concurrency={fits}, or give another --out" if fits else "give another --out"
        yield (
            f"resources.concurrency: {self.at_once} trials at once have checkpoints of about {gb(self.live_bytes)}, "
            f"but {display_path(self.root)} has {gb(room)} free, {gb(self.live_bytes - room)} too little; {remedy}"
        )

    def notes(self) -> list[str]:
        """What can be, but should be known."""
        notes = (self._fold_notes(), self._class_notes(), self._memory_notes(), self._disk_notes())
        return [*self.capacity.notes, *(note for group in notes for note in group)]

    def _fold_notes(self) -> Iterator[str]:
        if 0 < self.at_once < self.folds and self.search.scheduler != "none":
            yield (
                f"data.folds: {self.at_once} of a trial's {self.folds} trainings run at once; they are compared at "
                f"epochs that all of them have done, so {self.search.scheduler} can stop only the last ones early"
            )

    def _class_notes(self) -> Iterator[str]:
        for split, images in self.images.items():
            if empty := [name for name, count in zip(self.classes, images, strict=True) if not count]:
                more = f" and {len(empty) - 1} more" if len(empty) > 1 else ""
                yield f"{split}: no images of class {empty[0]!r}{more}"
            elif max(images) > UNEQUAL * min(images):
                ends = [f"{of(images)} of {self.classes[images.index(of(images))]!r}" for of in (min, max)]
                yield f"{split}: from {ends[0]} to {ends[1]} images a class; figures are mostly of the larger classes"

    def _memory_notes(self) -> Iterator[str]:
        if not self.trials.every:
            return
        worker, workers = self.memory_of(self.largest), self.at_once * self.resources.workers
        for share in self.capacity.shares:
            together = min(share.workers, workers) * worker
            if share.memory_bytes is not None and together > share.memory_bytes:
                yield (
                    f"workers of about {gb(worker)} may together take {gb(together)} of a node that has "
                    f"{gb(share.memory_bytes)}; a lower resources.concurrency or smaller batches help"
                )
                break
        needed = self.costs[self.largest.backbone].training_bytes(self.largest)
        room = min(1, self.resources.gpus_per_worker) * (self.gpu_bytes or 0)
        if 0 < room < needed:
            yield (
                f"{self.largest.backbone!r} needs up to {gb(needed)} of GPU memory in float32, of which a worker has "
                f"{gb(room)}; where that is too little, its batches are halved once"
            )

    def _disk_notes(self) -> Iterator[str]:
        room = self.free_bytes - RESERVE - self.live_bytes
        if room <= 0 or self.kept_bytes <= room:
            return
        budget = int((room - self.kept_predictions_bytes) / 1e8) / 10
        remedy = f"--set search.checkpoints_gb={budget:g} keeps the best" if budget > 0 else "give another --out"
        yield f"what {self.trials.number} trials leave takes about {gb(self.kept_bytes)}, {gb(room)} are free; {remedy}"

    def lines(self) -> list[str]:
        """The plan as text, without the notes."""
        rows = [("trials", self._trials_text()), ("data", self._data_text())]
        if self.trials.every:
            rows += [("epochs", self._epochs_text()), ("time", self._time_text())]
            rows += [("memory", self._memory_text()), ("disk", self._disk_text())]
        names = dict.fromkeys(trial.backbone for trial in self.trials.every)
        rows += [(name, self._backbone_text(name)) for name in names]
        width = max(len(label) for label, _ in rows)
        return [f"{label.ljust(width)}  {text}" for label, text in rows]

    def _trials_text(self) -> str:
        has = self.resources
        gpus = f" and {counted(has.gpus_per_worker, 'GPU')}" if has.gpus_per_worker else ""
        workers = f"{has.workers} workers" if has.workers > 1 else "one worker"
        cpus = counted(has.cpus_per_worker, "CPU")
        number = f"{self.trials.number}" if self.folds == 1 else f"{self.trials.number} of {self.folds} folds"
        trainings = "at once" if self.folds == 1 else "trainings at once"
        return f"{number}, {self.at_once} {trainings}, each {workers} of {cpus}{gpus}"

    def _data_text(self) -> str:
        splits = []
        for split, images in self.images.items():
            ends = f"{min(images)}" if min(images) == max(images) else f"{min(images)} to {max(images)}"
            splits.append(f"{split} {sum(images)} ({ends} a class)")
        folds = "" if self.folds == 1 else f", of one of {self.folds} folds"
        return f"{len(self.classes)} classes; {', '.join(splits)}{folds}"

    def _epochs_text(self) -> str:
        text, limit, hours = f"{self.epochs:.0f}", self.search.timeout_s, self.hours
        if self.least_epochs < self.epochs:
            text += f", {self.least_epochs:.0f} where {self.search.scheduler} stops as many trials as it may"
        if limit and hours and hours.least * 3600 > limit:
            text += f"; search.timeout_s has room for about {self.epochs * limit / 3600 / hours.about:.0f}"
        return text

    def _time_text(self) -> str:
        hours, limit = self.hours, self.search.timeout_s
        capped = f"; search.timeout_s ends it after {duration(limit / 3600)}" if limit else ""
        if hours is None:
            return f"unknown ({self.missing}){capped}"
        text = f"about {duration(hours.about)}"
        if hours.least < hours.about:
            text += f", {duration(hours.least)} where {self.search.scheduler} stops as many trials as it may"
        if hours.most > 1.1 * hours.about:
            text += f", {duration(hours.most)} were all like the longest"
        return text + (capped if limit and limit / 3600 < hours.most else "")

    def _memory_text(self) -> str:
        if self.resources.gpus_per_worker:
            needed = self.costs[self.largest.backbone].training_bytes(self.largest)
            return f"up to {gb(needed)} of a GPU a worker ({self.largest.backbone}, in float32)"
        worker, workers = self.memory_of(self.largest), self.at_once * self.resources.workers
        text = f"up to {gb(worker)} a worker ({self.largest.backbone})"
        shares = [share for share in self.capacity.shares if share.memory_bytes is not None]
        fullest = max(shares, key=lambda share: min(share.workers, workers), default=None)
        if fullest and fullest.memory_bytes:
            text += f", {gb(min(fullest.workers, workers) * worker)} of a node's {gb(fullest.memory_bytes)}"
        return text

    def _disk_text(self) -> str:
        return f"{gb(self.live_bytes)} for trials at work, {gb(self.kept_bytes)} kept; {gb(self.free_bytes)} free"

    def _backbone_text(self, name: str) -> str:
        cost, trial = self.costs[name], next(trial for trial in self.trials.every if trial.backbone == name)
        stage = trial.schedule[0]
        batches = sum(self.images["train"]) // (stage.batch_size * self.resources.workers)
        text = f"{cost.parameters / 1e6:.2g} M parameters, {gb(cost.checkpoint_bytes)} to resume from"
        if cost.seconds is None:
            return text
        tried = "at most " if cost.seconds.batch_size < stage.batch_size else ""
        return f"{text}, {tried}{duration(batches * cost.batch_s(stage) / 3600)} an epoch"


def batch_place(trial: TrialConfig) -> str:
    """Where the batch size of the largest stage stands."""
    index = trial.schedule.index(largest_stage(trial))
    has_own = bool(trial.stages) and "batch_size" in trial.stages[index]
    return f"trial.stages.{index}.batch_size" if has_own else "trial.batch_size"


def gb(size: float) -> str:
    """Bytes as MB, GB or TB (powers of 1000)."""
    for unit, scale in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if size >= scale or unit == "MB":
            return f"{size / scale:.{0 if size >= 10 * scale else 1}f} {unit}"
    raise AssertionError


def duration(hours: float) -> str:
    for unit, scale in (("days", 24), ("h", 1), ("min", 1 / 60), ("s", 1 / 3600)):
        if hours >= 2 * scale or unit == "s":
            return f"{hours / scale:.{0 if hours >= 10 * scale else 1}f} {unit}"
    raise AssertionError
