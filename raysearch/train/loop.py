"""The training loop: epochs of batches, looks at the held-out split, and a checkpoint after each epoch.

Everything worth keeping is on disk before the host hears of an epoch, because the host may end the training
there and then.
"""

import json
import math
import time
from typing import Any

import numpy as np
import torch
from torch import Tensor

from raysearch.config import TrainingConfig
from raysearch.data import Dataset
from raysearch.errors import UserError
from raysearch.io import replacing, write_json, write_text, write_yaml
from raysearch.paths import TrialPaths
from raysearch.train import heldout
from raysearch.train.figures import best_look
from raysearch.train.optimizer import build_optimizer, learning_rate
from raysearch.train.reporter import Reporter
from raysearch.train.result import read_metrics
from raysearch.train.task import Task


class Diverged(ArithmeticError):
    """The loss is no longer a finite number."""


def train(
    config: TrainingConfig, dataset: Dataset, paths: TrialPaths, reporter: Reporter, trial_number: int = 0
) -> bool:
    """Train as ``config`` says into ``paths``, going on from its checkpoint if it holds one.

    Same config, data, threads and kind of machine: same numbers. Returns True when all epochs were done, False when the
    host asked to stop. Raises `Diverged` when the loss is not finite.
    """
    return Training(config, dataset, paths, reporter, trial_number).run()


class Training:
    """One training's moving parts; `run` goes through the epochs that are left."""

    def __init__(
        self, config: TrainingConfig, dataset: Dataset, paths: TrialPaths, reporter: Reporter, trial_number: int
    ) -> None:
        self.config, self.trial, self.dataset = config, config.trial, dataset
        self.paths, self.reporter, self.trial_number = paths, reporter, trial_number
        torch.manual_seed(self.trial.seed)
        self.generator = torch.Generator().manual_seed(self.trial.seed)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.task = Task(self.trial, len(dataset.classes), self.device)
        self.optimizer = build_optimizer(self.task.student, self.trial.optimizer)
        split = dataset.splits["train"]
        self.images = split.images
        self.labels = torch.from_numpy(np.array(split.labels))
        self.steps_per_epoch = len(self.labels) // self.trial.batch_size
        if self.steps_per_epoch == 0:
            raise UserError(
                f"trial.batch_size: got {self.trial.batch_size}, but the train split has {len(self.labels)} images"
            )
        self.roles = {"student": self.task.student, "teacher": self.task.teacher.model}
        self.lines: list[dict[str, Any]] = []
        self.seconds_before = 0.0

    def run(self) -> bool:
        self._start()
        for epoch in range(len(self.lines) + 1, self.trial.epochs + 1):
            terms, is_whole = self._epoch(epoch)
            is_stopped = not is_whole or (epoch < self.trial.epochs and self.reporter.should_stop())
            line = self._line(epoch, terms)
            if not is_whole:
                line["partial"] = True
            if is_stopped or epoch % self.trial.eval_every == 0 or epoch == self.trial.epochs:
                line["held_out"] = self._look(line)
            self.lines.append(line)
            with self.paths.metrics.open("a") as file:
                file.write(json.dumps(line, allow_nan=False) + "\n")
            if is_whole:
                self._save()
            if "held_out" in line:
                self.reporter.report(line)
            if is_stopped:
                return False
        return True

    def _start(self) -> None:
        """Take up where a checkpoint left off, or lay the folder out anew."""
        self.started = time.monotonic()
        if self.paths.resume.is_file():
            self._restore()
            return
        write_yaml(self.paths.config, self.config.model_dump())
        write_text(self.paths.metrics, "")
        number = sum(parameter.numel() for parameter in self.task.student.parameters())
        info = {"precision": self.task.precision, "device": self.device.type, "num_parameters": number}
        write_json(self.paths.info, {**info, "notes": self._notes()})

    def _notes(self) -> list[str]:
        """What is done otherwise than asked, for `result.json`."""
        half = self.trial.epochs / 2
        asked = {
            "optimizer.warmup_epochs": self.trial.optimizer.warmup_epochs,
            "method.rampup_epochs": self.trial.method.rampup_epochs,
        }
        return [
            f"trial.{name}: {epochs:g} is more than half the run; shortened to {half:g}"
            for name, epochs in asked.items()
            if epochs > half
        ]

    def _epoch(self, epoch: int) -> tuple[dict[str, float], bool]:
        """One pass over the train split, the last incomplete batch left out. Mean terms; whether it was whole."""
        order = torch.randperm(len(self.labels), generator=self.generator)
        total: dict[str, Tensor] = {}
        done = 0
        for batch in order.split(self.trial.batch_size)[: self.steps_per_epoch]:
            step = (epoch - 1) * self.steps_per_epoch + done
            parts = self._step(batch, step)
            total = {name: total.get(name, 0) + part for name, part in parts.items()}
            done += 1
            if self.reporter.should_stop():
                break
        means = {name: float(value) / done for name, value in total.items()}
        if bad := [name for name, value in means.items() if not math.isfinite(value)]:
            raise Diverged(f"the training loss is not finite in epoch {epoch}: {bad[0]} is {means[bad[0]]}")
        return means, done == self.steps_per_epoch

    def _step(self, batch: Tensor, step: int) -> dict[str, Tensor]:
        rate = learning_rate(self.trial.optimizer, step, self.steps_per_epoch, self.trial.epochs)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        images = torch.from_numpy(self.images[batch.numpy()]).permute(0, 3, 1, 2).contiguous()
        terms = self.task.loss(images, self.labels[batch], step / self.steps_per_epoch, self.generator)
        self.optimizer.zero_grad()
        terms.loss.backward()
        self.optimizer.step()
        self.task.after_step(step + 1)
        return terms.parts

    def _line(self, epoch: int, terms: dict[str, float]) -> dict[str, Any]:
        seconds = self.seconds_before + time.monotonic() - self.started
        rate = self.optimizer.param_groups[0]["lr"]
        return {"epoch": epoch, "seconds": round(seconds, 3), "lr": rate, "train": terms}

    def _look(self, line: dict[str, Any]) -> dict[str, dict[str, float]]:
        """Held-out figures of this epoch; keeps a role's weights if the smoothed curve is at its best here."""
        fusion = self.trial.method.aux_fusion
        inferences = heldout.look(self.roles, self.dataset)
        found = heldout.figures(inferences, self.dataset.splits["held_out"].labels, fusion)
        if not all(math.isfinite(value) for figures in found.values() for value in figures.values()):
            raise Diverged(f"held-out probabilities are not finite in epoch {line['epoch']}")
        for role, inference in inferences.items():
            view = f"{role}-final"
            curve = [past["held_out"][view][self.config.objective] for past in self.lines if "held_out" in past]
            curve.append(found[view][self.config.objective])
            if best_look(curve, self.config.objective)[0] == len(curve) - 1:
                heldout.keep(self.paths, self.trial_number, role, self.roles[role], inference, self.dataset, fusion)
        return found

    def _save(self) -> None:
        state = {
            "student": self.task.student.state_dict(),
            "teacher": self.task.teacher.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state_all() if self.device.type == "cuda" else [],
            "epochs_done": len(self.lines),
        }
        with replacing(self.paths.resume) as aside:
            torch.save(state, aside)

    def _restore(self) -> None:
        state = torch.load(self.paths.resume, map_location="cpu", weights_only=True)
        self.task.student.load_state_dict(state["student"])
        self.task.teacher.model.load_state_dict(state["teacher"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])
        torch.set_rng_state(state["torch"])
        if state["cuda"]:
            torch.cuda.set_rng_state_all(state["cuda"])
        # A kill between a line and its checkpoint leaves a line too many.
        self.lines = read_metrics(self.paths)[: state["epochs_done"]]
        write_text(self.paths.metrics, "".join(json.dumps(line) + "\n" for line in self.lines))
        self.seconds_before = self.lines[-1]["seconds"]
