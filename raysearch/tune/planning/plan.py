"""What a search will take: trials, epochs, hours, memory and disk space, and what cannot run.

`raysearch.tune.planning.plan_text` prints a plan.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from raysearch.config import TrialConfig
from raysearch.io import display_path
from raysearch.space import ResourcesConfig, SearchConfig
from raysearch.train.disk import RESERVE
from raysearch.train.resource_check import ROLES, WORKER_BYTES, Cost, find_largest_stage
from raysearch.tune.planning.capacity import Capacity
from raysearch.tune.planning.units import format_bytes

MAX_CLASS_RATIO = 5
"""Images of the largest class divided by images of the smallest, above which a note says so."""
CERTAIN_SHARE = 0.5
"""Share of the estimated memory that a training certainly needs. Only this share can refuse a search, so that an
estimate which is too high refuses nothing."""


@dataclass(frozen=True)
class RemainingTrials:
    """The trials that have not ended yet."""

    first: tuple[TrialConfig, ...]
    """The entries of `search.first`. Values that an entry does not fix are drawn here as an example."""
    drawn: tuple[TrialConfig, ...]
    """A random sample that stands for the trials that the sampler will draw"""
    rest: int
    """Number of trials that the sampler will draw"""

    @property
    def count(self) -> int:
        return len(self.first) + self.rest

    @property
    def examples(self) -> tuple[TrialConfig, ...]:
        return (*self.first, *self.drawn)

    def estimate_sum(self, cost: Callable[[TrialConfig], float]) -> float:
        """The sum of ``cost`` over all trials. Each trial to be drawn costs the sample's mean."""
        drawn = [cost(trial) for trial in self.drawn]
        return sum(map(cost, self.first)) + (self.rest * sum(drawn) / len(drawn) if drawn else 0)

    def bound_sum(self, cost: Callable[[TrialConfig], float]) -> float:
        """The same sum if each trial to be drawn costs the sample's maximum."""
        return sum(map(cost, self.first)) + self.rest * max(map(cost, self.drawn), default=0)


@dataclass(frozen=True)
class Hours:
    """Duration of the search in hours. Assumes that trials which run at the same time do not slow each other down."""

    about: float
    """If every trial runs to its last epoch"""
    least: float
    """If the scheduler stops as many trials early as expected"""
    most: float
    """If every drawn trial takes as long as the longest of the sample"""


@dataclass(frozen=True)
class Plan:
    """Estimates from what is known before a search starts."""

    where: str
    """Name of the space file, for messages"""
    root: Path
    """The study's folder"""
    resources: ResourcesConfig
    search: SearchConfig
    capacity: Capacity
    trials: RemainingTrials
    costs: Mapping[str, Cost]
    """By backbone"""
    classes: tuple[str, ...]
    images: Mapping[str, Sequence[int]]
    """Images of each class, by split (train and held_out); with folds, in one fold's training"""
    free_bytes: float
    """Free space on the disk that holds ``root``"""
    folds: int = 1
    """Trainings per trial"""
    epochs_done: int = 0
    """Epochs of the study's ended trials"""
    gpu_bytes: float | None = None
    """Memory of one GPU of this machine; None if trials use no GPU or this machine has none"""
    missing: str = "not measured"
    """Why the duration is unknown, if it is"""

    @property
    def at_once(self) -> int:
        """Trainings that run at the same time."""
        return min(self.capacity.trials, self.folds * self.trials.count)

    @property
    def epochs(self) -> float:
        """Epochs of all remaining trials if none is stopped early, at most what `search.epochs` leaves."""
        return self._within_budget(self._all_epochs)

    @property
    def least_epochs(self) -> float:
        """The same if the scheduler stops as many trials early as expected."""
        return self._within_budget(self.least_share * self._all_epochs)

    @property
    def _all_epochs(self) -> float:
        return self.folds * self.trials.estimate_sum(lambda trial: trial.total_epochs)

    def _within_budget(self, epochs: float) -> float:
        return epochs if self.search.epochs is None else min(epochs, max(0, self.search.epochs - self.epochs_done))

    @property
    def least_share(self) -> float:
        """Share of the epochs that remains if the scheduler stops as many trials early as expected; 1 without one.

        The scheduler compares trials at epochs that all folds have done. If a trial has more folds than run at the same
        time, only its last group of folds can be stopped early.
        """
        last = self.folds % self.at_once or self.at_once if self.at_once else self.folds
        stopped = min(last, self.folds) / self.folds
        return 1 - stopped + stopped * self._least_share_per_training

    @property
    def _least_share_per_training(self) -> float:
        grace, factor = self.search.grace, self.search.reduction_factor
        if self.search.scheduler == "none":
            return 1.0
        if self.search.scheduler == "median":
            return grace + (1 - grace) / 2  # half of the trials are below the median
        # Successive halving: at each rung, 1 / factor of the trials goes on to the next.
        share, rung, left = grace, grace, 1.0
        while rung < 1:
            left /= factor
            share, rung = share + left * (min(1, rung * factor) - rung), rung * factor
        return share

    @property
    def hours(self) -> Hours | None:
        """None if a backbone could not be measured. Does not apply `search.timeout_s`."""
        if any(self.costs[trial.backbone].seconds is None for trial in self.trials.examples):
            return None
        if not self.trials.count:
            return Hours(0, 0, 0)
        longest = max(map(self.estimate_seconds, self.trials.examples))
        about, most = (
            max(self.folds * total(self.estimate_seconds) / self.at_once, longest) / 3600 / self._all_epochs
            for total in (self.trials.estimate_sum, self.trials.bound_sum)
        )
        return Hours(about * self.epochs, about * self.least_epochs, most * self.epochs)

    def estimate_seconds(self, trial: TrialConfig) -> float:
        """Duration of one training in seconds."""
        train, held_out = (sum(self.images[split]) for split in ("train", "held_out"))
        seconds = self.costs[trial.backbone].training_s(trial, train, held_out, self.resources.workers)
        return min(seconds, trial.time_limit_s or seconds)

    def estimate_memory(self, trial: TrialConfig) -> float:
        """Main memory of one worker process, in bytes."""
        on_gpu = self.resources.gpus_per_worker > 0
        return WORKER_BYTES + (0 if on_gpu else self.costs[trial.backbone].training_bytes(trial))

    @property
    def largest(self) -> TrialConfig:
        """The trial that needs most memory."""
        return max(self.trials.examples, key=lambda trial: self.costs[trial.backbone].training_bytes(trial))

    @property
    def live_bytes(self) -> float:
        """Disk space of all trainings that run at the same time."""
        live = [
            self.costs[trial.backbone].live_bytes() + self.estimate_prediction_bytes(trial)
            for trial in self.trials.examples
        ]
        return self.at_once * max(live, default=0)

    @property
    def kept_bytes(self) -> float:
        """Disk space of all trials' results: weights (limited by `search.checkpoints_gb`), predictions and features."""
        weights = self.folds * self.trials.estimate_sum(lambda trial: ROLES * self.costs[trial.backbone].weights_bytes)
        budget = self.search.checkpoints_gb
        weights = weights if budget is None else min(weights, budget * 1e9)
        return weights + self.kept_predictions_bytes

    @property
    def kept_predictions_bytes(self) -> float:
        """Disk space of all trials' predictions and features. With folds they are stored per fold and once joined."""
        times = 1 if self.folds == 1 else 2 * self.folds
        return times * self.trials.estimate_sum(self.estimate_prediction_bytes)

    def estimate_prediction_bytes(self, trial: TrialConfig) -> float:
        """Bytes of one training's predictions and features."""
        return self.costs[trial.backbone].predictions_bytes(trial, sum(self.images["held_out"]), len(self.classes))

    def faults(self) -> list[str]:
        """What cannot run, each with the nearest setting that can."""
        return [f"{self.where}: {fault}" for fault in [*self._memory_faults(), *self._disk_faults()]]

    def _memory_faults(self) -> Iterator[str]:
        sizes = [share.memory_bytes for share in self.capacity.shares]
        if not self.trials.examples or not sizes or None in sizes:
            return
        room = max(size for size in sizes if size is not None)
        needed = self.estimate_memory(self.largest)
        if CERTAIN_SHARE * needed <= room:
            return
        images = self.costs[self.largest.backbone].batch_within(self.largest, room - WORKER_BYTES)
        key = batch_size_key(self.largest)
        remedy = f"set {key}={images}" if images >= 2 else "use smaller images or backbones"
        yield (
            f"{key}: {self.largest.backbone!r} needs about {format_bytes(needed)} for a batch of "
            f"{find_largest_stage(self.largest).batch_size}, but no node has more than {format_bytes(room)}; {remedy}"
        )

    def _disk_faults(self) -> Iterator[str]:
        room = max(0.0, self.free_bytes - RESERVE)
        if self.live_bytes <= room:
            return
        fits = int(room / (self.live_bytes / self.at_once))
        remedy = f"set resources.concurrency={fits}, or give another --out" if fits else "give another --out"
        yield (
            f"resources.concurrency: {self.at_once} trials at once need about {format_bytes(self.live_bytes)} for "
            f"checkpoints, but {display_path(self.root)} has {format_bytes(room)} free, "
            f"{format_bytes(self.live_bytes - room)} too little; {remedy}"
        )

    def notes(self) -> list[str]:
        """What can run, but the user should know."""
        notes = (self._fold_notes(), self._class_notes(), self._memory_notes(), self._disk_notes())
        return [*self.capacity.notes, *(note for group in notes for note in group)]

    def _fold_notes(self) -> Iterator[str]:
        if 0 < self.at_once < self.folds and self.search.scheduler != "none":
            yield (
                f"data.folds: only {self.at_once} of a trial's {self.folds} trainings run at once. The scheduler "
                f"compares trials at epochs that every fold has finished, so {self.search.scheduler} can stop only the "
                "last folds early"
            )

    def _class_notes(self) -> Iterator[str]:
        for split, images in self.images.items():
            if empty := [name for name, count in zip(self.classes, images, strict=True) if not count]:
                more = f" and {len(empty) - 1} more" if len(empty) > 1 else ""
                yield f"{split}: no images of class {empty[0]!r}{more}"
            elif max(images) > MAX_CLASS_RATIO * min(images):
                fewest, most = (f"{n} ({self.classes[images.index(n)]!r})" for n in (min(images), max(images)))
                yield f"{split}: classes have from {fewest} to {most} images; the large classes dominate the metrics"

    def _memory_notes(self) -> Iterator[str]:
        if not self.trials.examples:
            return
        worker, workers = self.estimate_memory(self.largest), self.at_once * self.resources.workers
        for share in self.capacity.shares:
            together = min(share.workers, workers) * worker
            if share.memory_bytes is not None and together > share.memory_bytes:
                yield (
                    f"each worker may need about {format_bytes(worker)}, {format_bytes(together)} together, and the "
                    f"node has {format_bytes(share.memory_bytes)}; use a lower resources.concurrency or smaller batches"
                )
                break
        needed = self.costs[self.largest.backbone].training_bytes(self.largest)
        room = min(1, self.resources.gpus_per_worker) * (self.gpu_bytes or 0)
        if 0 < room < needed:
            yield (
                f"{self.largest.backbone!r} needs up to {format_bytes(needed)} of GPU memory in float32, and a worker "
                f"has {format_bytes(room)}; a training that runs out of memory halves its batches once"
            )

    def _disk_notes(self) -> Iterator[str]:
        room = self.free_bytes - RESERVE - self.live_bytes
        if room <= 0 or self.kept_bytes <= room:
            return
        budget = int((room - self.kept_predictions_bytes) / 1e8) / 10
        remedy = f"--set search.checkpoints_gb={budget:g} keeps the best" if budget > 0 else "give another --out"
        yield (
            f"the results of {self.trials.count} trials need about {format_bytes(self.kept_bytes)} of disk space, "
            f"{format_bytes(room)} are free; {remedy}"
        )


def batch_size_key(trial: TrialConfig) -> str:
    """Dotted path of the largest stage's batch size in the space file."""
    index = trial.schedule.index(find_largest_stage(trial))
    has_own = bool(trial.stages) and "batch_size" in trial.stages[index]
    return f"trial.stages.{index}.batch_size" if has_own else "trial.batch_size"
