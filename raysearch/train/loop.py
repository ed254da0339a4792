"""The training loop: stages of epochs of batches, looks at the held-out split, and a checkpoint after each epoch.

Everything worth keeping is on disk before the host hears of an epoch, because the host may end the training
there and then. Of several processes that train one network, the first looks, writes and speaks to the host.
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
from raysearch.train.result import read_metrics
from raysearch.train.resume import restore, save
from raysearch.train.stage import Stage, collect_notes, stubborn_at_start, train_split
from raysearch.train.task import Task

STOP_EVERY = 10
"""Batches between two questions whether to stop, where several processes have to agree on it."""
LOCK_WAIT_S = 60.0
"""Seconds that an earlier process has to end, which was cut off and still trains into the folder."""


class Diverged(ArithmeticError):
    """The loss is no longer a finite number."""


def train(
    config: TrainingConfig,
    dataset: Dataset,
    paths: TrialPaths,
    reporter: Reporter,
    trial_number: int = 0,
    loader_workers: int = 0,
) -> bool:
    """Train as ``config`` says into ``paths``, going on from its checkpoint if it holds one.

    ``dataset``: `open_training_data`'s; ``loader_workers``: processes that make batches ahead, 0 for none.
    Same config, data, threads, processes and kind of machine: same numbers, whatever ran before in this process.
    Returns True when all epochs were done, False when the host asked to stop. Raises `Diverged` when the loss is not
    finite, `UserError` when the config does not fit the data or another process trains into the folder.
    A full disk is waited for.
    """
    training = Training(config, dataset, paths, reporter, trial_number, loader_workers)
    if training.world.device.type == "cpu":
        keep_freed_memory()
    if not training.world.is_main:
        return training.run()
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(paths.lock, LOCK_WAIT_S))
        except LockHeld as held:
            raise StudyError(f"{paths.root}: another training writes into this folder ({held})") from held
        for part in paths.root.rglob(".*.part"):  # what a kill has left of a write
            part.unlink()
        return training.run()


class Training:
    """One training's moving parts; `run` goes through the epochs that are left."""

    def __init__(
        self,
        config: TrainingConfig,
        dataset: Dataset,
        paths: TrialPaths,
        reporter: Reporter,
        trial_number: int,
        loader_workers: int = 0,
    ) -> None:
        assert dataset.image_size == config.trial.inference_size, "looks are at the size of inference"
        self.config, self.trial, self.dataset = config, config.trial, dataset
        self.paths, self.reporter, self.trial_number = paths, reporter, trial_number
        self.loader_workers = loader_workers
        self.world = current_world()
        # The few held-out images of merged data are too few to choose an epoch by.
        self.keeps_latest = config.data.merged_held_out_per_class is not None
        torch.manual_seed(self.trial.seed)
        self.task = Task(self.trial, len(dataset.classes), self.world)
        self.roles = {"student": self.task.student.classifier, "teacher": self.task.teacher.model}
        self.is_stubborn = stubborn_at_start(self.trial, dataset)
        self.stages = self._stages()
        self.lines: list[dict[str, Any]] = []
        self.info: dict[str, Any] = {}
        self.seconds_before = 0.0

    def _stages(self) -> list[Stage]:
        stages: list[Stage] = []
        epochs = steps = 0
        for number, config in enumerate(self.trial.schedule):
            split = train_split(self.dataset, config)
            stage = Stage(config, number, split, self.world, epochs, steps)
            if stage.steps_per_epoch == 0:
                at_once = config.batch_size * config.accumulation * self.world.size
                place = f"trial.stages.{number}" if self.trial.stages else "trial"
                raise UserError(
                    f"{place}.batch_size: a step takes {at_once} images, but the train split has {len(split)}"
                )
            stages.append(stage)
            epochs, steps = stage.last_epoch, stage.last_step
        return stages

    def run(self) -> bool:
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
            for epoch in range(first, stage.last_epoch + 1):
                if not self._train_epoch(stage, epoch):
                    return False
        if self.world.is_main and "other_views" not in self.info:
            self._look_otherwise()  # the last process died between its last epoch and these
        return True

    def _train_epoch(self, stage: Stage, epoch: int) -> bool:
        """One epoch with everything that follows it; False where the training is to stop."""
        torch.manual_seed(derive_seed(self.trial.seed, epoch, self.world.rank))  # dropout's, stochastic depth's
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
                retry_while_disk_full(self.paths, self._look_otherwise)
        self.world.any(False)  # nobody goes on before the first process has written
        if is_due:
            self.reporter.report(line)
        return not is_stopped

    def _write(self, stage: Stage, line: dict[str, Any], is_whole: bool) -> None:
        """The epoch's line, then its checkpoint: a kill between the two leaves a line too many, never too few."""
        text = json.dumps(line, allow_nan=False)
        retry_while_disk_full(self.paths, lambda: append_line(self.paths.metrics, text))
        if is_whole:
            done = len(self.lines)
            retry_while_disk_full(
                self.paths, lambda: save(self.paths.resume, self.task, stage.optimizer, self.is_stubborn, done)
            )

    def _start(self) -> None:
        """Take up where a checkpoint left off, or lay the folder out anew."""
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
        self.world.any(False)

    def _inform(self, **values: Any) -> None:
        self.info |= values
        write_json(self.paths.info, self.info)

    def _note_latency(self, mode: InferenceMode, latency_ms: float) -> None:
        """Of all looks of one kind the fastest: others make some of them wait."""
        known = self.info.setdefault("latency_ms", {})
        known[mode.name] = min(round(latency_ms, 6), known.get(mode.name, math.inf))

    def _pass_over(self, stage: Stage, epoch: int) -> tuple[dict[str, float], bool]:
        """One pass over the train split. Mean terms of all processes; whether it was whole."""
        stage.batches.is_stubborn = self.is_stubborn
        total: dict[str, Tensor] = {}
        done = 0
        asks_every = STOP_EVERY if self.world.size > 1 else 1
        for batch in stage.batches.iterate_epoch(epoch, self.loader_workers):
            parts = stage.step(self.task, batch, epoch, done)
            total = {name: total.get(name, 0) + part for name, part in parts.items()}
            done += 1
            if done % asks_every == 0 and self.world.any(self.reporter.should_stop()):
                break
        values = (self.world.mean(torch.stack(list(total.values()))) / done).tolist()
        means = dict(zip(total, values, strict=True))
        if bad := [name for name, value in means.items() if not math.isfinite(value)]:
            raise Diverged(f"the training loss is not finite in epoch {epoch}: {bad[0]} is {means[bad[0]]}")
        return means, done == len(stage.batches)

    def _line(self, stage: Stage, epoch: int, terms: dict[str, float]) -> dict[str, Any]:
        seconds = self.seconds_before + time.monotonic() - self.started
        rate = stage.optimizer.param_groups[0]["lr"]
        return {"epoch": epoch, "seconds": round(seconds, 3), "lr": rate, "train": terms}

    def _evaluate(self, line: dict[str, Any]) -> dict[str, dict[str, float]]:
        """Held-out figures of this epoch; keeps a role's weights if they are the ones to keep so far."""
        fusion, mode, split = self.trial.aux_fusion, default_inference_mode(self.trial), self.dataset.splits["held_out"]
        inferences: dict[str, Inference] = {}
        for role, classifier in self.roles.items():
            inferences[role], latency_ms = mode.infer(classifier, split.images)
            self._note_latency(mode, latency_ms)
        found = score_views(inferences, split.labels, fusion, mode)
        if not all(math.isfinite(value) for figures in found.values() for value in figures.values()):
            raise Diverged(f"held-out probabilities are not finite in epoch {line['epoch']}")
        for role, inference in inferences.items():
            view = f"{role}-final"
            curve = [past["held_out"][view][self.config.objective] for past in self.lines if "held_out" in past]
            curve.append(found[view][self.config.objective])
            if select_evaluation(curve, self.config.objective, self.keeps_latest)[0] == len(curve) - 1:
                write_best(self.paths, self.trial_number, role, self.roles[role], inference, self.dataset, fusion, mode)
        self._inform()
        self.newest_probs = inferences["student"].final
        return found

    def _look_otherwise(self) -> None:
        """Predictions by ten crops and at other sides, where they are asked for, of the weights that were kept."""
        if not (modes := other_inference_modes(self.trial)):
            return
        figures: dict[str, Any] = {}
        classifier = copy.deepcopy(self.task.teacher.model)
        for role in self.roles:
            classifier.load_state_dict(load_file(self.paths.weights(role)))
            for mode in modes:
                found, latency_ms = write_other_mode(
                    self.paths, self.trial_number, role, classifier, self.dataset, self.trial.aux_fusion, mode
                )
                self._note_latency(mode, latency_ms)
                figures |= found
        self._inform(other_views=figures)

    def _update_stubborn(self, stage: Stage, epoch: int) -> None:
        """Estimate anew which classes are stubborn, from the newest look's recalls."""
        stubborn = stage.config.augment.stubborn
        if not stage.estimates_at(epoch):
            return
        flags = torch.zeros(len(self.dataset.classes), dtype=torch.uint8)
        if self.world.is_main:
            labels = np.asarray(self.dataset.splits["held_out"].labels)
            found = stubborn_classes(recalls(self.newest_probs, labels), stubborn)
            flags = torch.from_numpy(found).to(torch.uint8)
        self.is_stubborn = self.world.broadcast(flags).bool()

    def _restore(self) -> None:
        done, self.resumed_optimizer, self.is_stubborn = restore(self.paths.resume, self.task)
        # A kill between a line and its checkpoint leaves a line too many.
        self.lines = read_metrics(self.paths)[:done]
        self.world.any(False)
        if self.world.is_main:
            write_text(self.paths.metrics, "".join(json.dumps(line) + "\n" for line in self.lines))
            self.info = read_json(self.paths.info)
            if done < self.stages[-1].last_epoch:
                self.info.pop("other_views", None)  # of weights that are not the last to be kept
        self.seconds_before = self.lines[-1]["seconds"]
