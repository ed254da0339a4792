"""The training loop: stages, epochs and batches, evaluation of the held-out split, and a checkpoint after each epoch.

All results of an epoch are on disk before it is reported, because the reporter may end the training. If several
processes train one network, only the first (rank 0) evaluates and writes.
"""

import copy
import json
import math
import time
from contextlib import ExitStack
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from raysearch.augment import stubborn_classes
from raysearch.config import TrainingConfig
from raysearch.data.dataset import Dataset
from raysearch.errors import StudyError, UserError
from raysearch.io import LockHeld, append_line, locked, read_json, write_json, write_text, write_yaml
from raysearch.models import Inference
from raysearch.paths import TrialPaths
from raysearch.train.batches import derive_seed
from raysearch.train.disk import retry_while_disk_full
from raysearch.train.distributed import current_world
from raysearch.train.figures import recalls, select_evaluation
from raysearch.train.held_out import score_views, write_best, write_other_mode
from raysearch.train.inference_mode import InferenceMode, default_inference_mode, other_inference_modes
from raysearch.train.memory import keep_freed_memory
from raysearch.train.reporter import Reporter
from raysearch.train.resource_check import count_pixels
from raysearch.train.result import read_metrics
from raysearch.train.resume import restore, save
from raysearch.train.stage import Stage, collect_notes, load_initial_stubborn, open_train_split
from raysearch.train.task import Task
from raysearch.train.time_limit import TimeLimit

STOP_EVERY = 10
"""Batches between two checks for a stop, if several processes train: they must agree, which costs a collective
operation."""
LOCK_WAIT_S = 60.0
"""Seconds to wait for an earlier process that was cut off and still writes to the folder."""


class Diverged(ArithmeticError):
    """The loss is no longer a finite number."""


def train(
    config: TrainingConfig,
    dataset: Dataset,
    paths: TrialPaths,
    reporter: Reporter,
    trial_number: int = 0,
    loader_workers: int = 0,
    share_s: float | None = None,
) -> bool:
    """Train ``config`` into the folder ``paths``, and resume from its checkpoint if there is one.

    ``dataset``: from `open_training_data`; ``loader_workers``: processes that prepare batches in advance, 0 for none;
    ``share_s``: seconds from now that a training with a time limit may take, if these are fewer.
    The same config, data, threads, processes and kind of machine give the same numbers, whatever ran before in this
    process. While the disk is full, training pauses.

    Returns True if all epochs are done, and False if the reporter asked to stop. Raises `Diverged` if the loss is not
    finite, `StudyError` if another process trains into the folder, and `UserError` if the config does not fit the data.
    """
    training = Training(config, dataset, paths, reporter, trial_number, loader_workers, share_s)
    if training.world.device.type == "cpu":
        keep_freed_memory()
    if not training.world.is_main:
        return training.run()
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(paths.lock, LOCK_WAIT_S))
        except LockHeld as held:
            raise StudyError(f"{paths.root}: another training writes into this folder ({held})") from held
        for leftover in paths.root.rglob(".*.part"):  # temporary files of a killed process
            leftover.unlink()
        return training.run()


class Training:
    """The state of one training. `run` trains the remaining epochs."""

    def __init__(
        self,
        config: TrainingConfig,
        dataset: Dataset,
        paths: TrialPaths,
        reporter: Reporter,
        trial_number: int,
        loader_workers: int = 0,
        share_s: float | None = None,
    ) -> None:
        assert dataset.image_size == config.trial.inference_size, "evaluations are at inference_size"
        self.config, self.trial, self.dataset = config, config.trial, dataset
        self.paths, self.reporter, self.trial_number = paths, reporter, trial_number
        self.loader_workers, self.share_s = loader_workers, share_s
        self.world = current_world()
        # With merged data, the held-out images are too few to select an epoch.
        self.keeps_latest = config.data.merged_held_out_per_class is not None
        torch.manual_seed(self.trial.seed)
        self.task = Task(self.trial, len(dataset.classes), self.world)
        self.roles = {"student": self.task.student.classifier, "teacher": self.task.teacher.model}
        self.is_stubborn = load_initial_stubborn(self.trial, dataset)
        self.stages = self._stages()
        self.time_limit: TimeLimit | None = None
        self.lines: list[dict[str, Any]] = []
        self.info: dict[str, Any] = {}
        self.seconds_before = 0.0

    def _stages(self) -> list[Stage]:
        stages: list[Stage] = []
        epochs = steps = 0
        for number, config in enumerate(self.trial.schedule):
            split = open_train_split(self.dataset, config)
            stage = Stage(config, number, split, self.world, epochs, steps)
            if stage.steps_per_epoch == 0:
                images_per_step = config.batch_size * config.accumulation * self.world.size
                place = f"trial.stages.{number}" if self.trial.stages else "trial"
                raise UserError(
                    f"{place}.batch_size: a step takes {images_per_step} images, but the train split has {len(split)}"
                )
            stages.append(stage)
            epochs, steps = stage.last_epoch, stage.last_step
        return stages

    def _make_time_limit(self) -> TimeLimit | None:
        limit_s = self.trial.time_limit_s
        if limit_s is None:
            return None
        if self.share_s is not None:
            limit_s = min(limit_s, self.seconds_before + self.share_s)
        modes = [default_inference_mode(self.trial), *other_inference_modes(self.trial)]
        pixels = len(self.roles) * len(self.dataset.splits["held_out"]) * sum(mode.pixels for mode in modes)
        # A forward pass in float32 takes less time than a whole training step, also if that uses bfloat16.
        return TimeLimit(max(1.0, limit_s), pixels / count_pixels(self.stages[0].config))

    def run(self) -> bool:
        """Train. True if all epochs are done, False if the reporter asked to stop."""
        self._start()
        for stage in self.stages:
            first = max(len(self.lines), stage.epochs_before) + 1
            if first > stage.last_epoch:
                continue
            if self.task.stage != stage.config:
                self.task.set_stage(stage.config)
            stage.build_optimizer(self.task.student)
            if first > stage.epochs_before + 1 and self.resumed_optimizer:
                stage.optimizer.load_state_dict(self.resumed_optimizer)
            epoch = first
            while epoch <= stage.last_epoch:  # a time limit may change it
                if not self._train_epoch(stage, epoch):
                    return False
                epoch += 1
        if self.world.is_main and "other_views" not in self.info:
            self._run_other_modes()  # a process died after its last epoch, before it had run them
        return True

    def _train_epoch(self, stage: Stage, epoch: int) -> bool:
        """Train one epoch, evaluate, write and report it. False if the training must stop."""
        # Dropout and stochastic depth use the global generator. With a seed per epoch, a resumed training is the same.
        torch.manual_seed(derive_seed(self.trial.seed, epoch, self.world.rank))
        self.task.sync_buffers()
        terms, is_whole = self._pass_over(stage, epoch)
        is_last = epoch == self.stages[-1].last_epoch
        is_stopped = not is_whole or (not is_last and self.world.any(self.reporter.should_stop()))
        line = self._line(stage, epoch, terms)
        if not is_whole:
            line["partial"] = True
        is_due = is_stopped or is_last or epoch == stage.last_epoch or stage.evaluates_after(epoch)
        if is_due and self.world.is_main:
            line["held_out"] = retry_while_disk_full(self.paths, lambda: self._evaluate(line))
        self._update_stubborn(stage, epoch)
        self.lines.append(line)
        if self.world.is_main:
            self._write(stage, line, is_whole)
            if is_stopped or is_last:
                retry_while_disk_full(self.paths, self._run_other_modes)
        self.world.any(False)  # a barrier: the others wait until the first process has written
        if is_due:
            self.reporter.report(line)
        return not is_stopped

    def _write(self, stage: Stage, line: dict[str, Any], is_whole: bool) -> None:
        """Write the epoch's line, then its checkpoint. A kill between the two leaves one line too many, never one too
        few."""
        text = json.dumps(line, allow_nan=False)
        retry_while_disk_full(self.paths, lambda: append_line(self.paths.metrics, text))
        if is_whole:
            done = len(self.lines)
            retry_while_disk_full(
                self.paths, lambda: save(self.paths.resume, self.task, stage.optimizer, self.is_stubborn, done)
            )

    def _start(self) -> None:
        """Resume from the checkpoint, or write the first files of a new training."""
        self.started = time.monotonic()
        self.resumed_optimizer: dict[str, Any] | None = None
        if self.paths.resume.is_file():
            self._restore()
        elif self.world.is_main:
            write_yaml(self.paths.config, self.config.model_dump())
            write_text(self.paths.metrics, "")
            number = sum(parameter.numel() for parameter in self.task.student.classifier.parameters())
            info = {"precision": self.task.precision, "device": self.world.device.type, "num_parameters": number}
            self._inform(**info, keeps_latest=self.keeps_latest, notes=collect_notes(self.config))
        self.world.any(False)  # a barrier: the others must not run ahead of the first process
        self.time_limit = self._make_time_limit()

    def _inform(self, **values: Any) -> None:
        """Add facts to `info.json`."""
        self.info |= values
        write_json(self.paths.info, self.info)

    def _note_latency(self, mode: InferenceMode, latency_ms: float) -> None:
        """Keep the fastest latency of each mode: other processes on the machine slow some evaluations down."""
        known = self.info.setdefault("latency_ms", {})
        known[mode.name] = min(round(latency_ms, 6), known.get(mode.name, math.inf))

    def _pass_over(self, stage: Stage, epoch: int) -> tuple[dict[str, float], bool]:
        """Train on every batch of an epoch. Returns the mean of each loss term, and whether the epoch was finished."""
        stage.batches.is_stubborn = self.is_stubborn
        total: dict[str, Tensor] = {}
        done = 0
        check_every = STOP_EVERY if self.world.size > 1 else 1
        for batch in stage.batches.iterate_epoch(epoch, self.loader_workers):
            terms = stage.step(self.task, batch, epoch, done)
            total = {name: total.get(name, 0) + term for name, term in terms.items()}
            done += 1
            if done % check_every == 0:
                self._keep_time(stage, epoch, done)
                if self.world.any(self.reporter.should_stop()):
                    break
            if done >= stage.count_batches(epoch):
                break
        values = (self.world.mean(torch.stack(list(total.values()))) / done).tolist()
        means = dict(zip(total, values, strict=True))
        if bad := [name for name, value in means.items() if not math.isfinite(value)]:
            raise Diverged(f"the training loss is not finite in epoch {epoch}: {bad[0]} is {means[bad[0]]}")
        return means, done >= stage.count_batches(epoch)

    def _keep_time(self, stage: Stage, epoch: int, batches: int) -> None:
        """Change the number of steps if those that are planned do not end within the time limit."""
        if self.time_limit is None or batches % stage.config.accumulation:
            return
        schedule, step = stage.schedule, stage.count_steps(epoch, batches)
        images = stage.config.batch_size * stage.config.accumulation
        steps = self.time_limit.count_steps(self._seconds(), step, images, schedule.steps, schedule.planned_steps)
        steps = int(self.world.broadcast(torch.tensor(steps)))  # each process has its own clock
        if steps == schedule.steps:
            return
        schedule.end_after(steps, step)
        if self.world.is_main:
            counts = f"{steps} of {schedule.planned_steps} steps"
            note = f"trial.time_limit_s: {counts} end within {self.time_limit.limit_s:g} s"
            self._inform(schedule=schedule.changes, notes=[*collect_notes(self.config), note])

    def _seconds(self) -> float:
        """Seconds of training so far, those before a resume included."""
        return self.seconds_before + time.monotonic() - self.started

    def _line(self, stage: Stage, epoch: int, terms: dict[str, float]) -> dict[str, Any]:
        rate = stage.optimizer.param_groups[0]["lr"]
        line = {"epoch": epoch, "seconds": round(self._seconds(), 3), "lr": rate, "train": terms}
        return {**line, "epochs": stage.last_epoch} if stage.schedule.changes else line

    def _evaluate(self, line: dict[str, Any]) -> dict[str, dict[str, float]]:
        """Evaluate the held-out split: returns the figures by view, and writes the weights of a role if they are the
        best so far."""
        fusion, mode, split = self.trial.aux_fusion, default_inference_mode(self.trial), self.dataset.splits["held_out"]
        inferences: dict[str, Inference] = {}
        for role, classifier in self.roles.items():
            inferences[role], latency_ms = mode.infer(classifier, split.images)
            self._note_latency(mode, latency_ms)
        figures = score_views(inferences, split.labels, fusion, mode)
        if not all(math.isfinite(value) for scores in figures.values() for value in scores.values()):
            raise Diverged(f"held-out probabilities are not finite in epoch {line['epoch']}")
        for role, inference in inferences.items():
            view = f"{role}-final"
            curve = [past["held_out"][view][self.config.objective] for past in self.lines if "held_out" in past]
            curve.append(figures[view][self.config.objective])
            if select_evaluation(curve, self.config.objective, self.keeps_latest)[0] == len(curve) - 1:
                write_best(self.paths, self.trial_number, role, self.roles[role], inference, self.dataset, fusion, mode)
        self._inform()
        self.newest_probs = inferences["student"].final
        return figures

    def _run_other_modes(self) -> None:
        """Write the predictions of the kept weights in the other inference modes (mirror, TenCrop, other sides)."""
        if not (modes := other_inference_modes(self.trial)):
            return
        figures: dict[str, Any] = {}
        classifier = copy.deepcopy(self.task.teacher.model)
        for role in self.roles:
            classifier.load_state_dict(load_file(self.paths.weights(role)))
            for mode in modes:
                mode_figures, latency_ms = write_other_mode(
                    self.paths, self.trial_number, role, classifier, self.dataset, self.trial.aux_fusion, mode
                )
                self._note_latency(mode, latency_ms)
                figures |= mode_figures
        self._inform(other_views=figures)

    def _update_stubborn(self, stage: Stage, epoch: int) -> None:
        """Update the stubborn classes from the recalls of the latest evaluation."""
        stubborn = stage.config.augment.stubborn
        if not stage.updates_stubborn_after(epoch):
            return
        flags = torch.zeros(len(self.dataset.classes), dtype=torch.uint8)
        if self.world.is_main:
            labels = np.asarray(self.dataset.splits["held_out"].labels)
            is_stubborn = stubborn_classes(recalls(self.newest_probs, labels), stubborn)
            flags = torch.from_numpy(is_stubborn).to(torch.uint8)
        self.is_stubborn = self.world.broadcast(flags).bool()

    def _restore(self) -> None:
        """Continue from the checkpoint: weights, optimizer, stubborn classes and metrics."""
        done, self.resumed_optimizer, self.is_stubborn = restore(self.paths.resume, self.task)
        # A kill between a line and its checkpoint leaves one line too many.
        self.lines = read_metrics(self.paths)[:done]
        self.info = read_json(self.paths.info)
        self.world.any(False)  # a barrier: all processes read the files before the first one writes them
        self._restore_schedule(done)
        if self.world.is_main:
            write_text(self.paths.metrics, "".join(json.dumps(line) + "\n" for line in self.lines))
            if done < self.stages[-1].last_epoch:
                self.info.pop("other_views", None)  # later epochs may replace the weights that made them
        self.seconds_before = self.lines[-1]["seconds"]

    def _restore_schedule(self, epochs_done: int) -> None:
        """Repeat the changes for the time limit that were made up to the checkpoint."""
        stage = self.stages[0]  # a training with a time limit has no other
        for steps, step in self.info.get("schedule", []):
            if step <= stage.count_steps(epochs_done + 1, 0):
                stage.schedule.end_after(steps, step)
