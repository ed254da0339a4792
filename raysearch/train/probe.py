"""What a training costs: seconds from a few real steps on this machine, bytes from the networks' shapes alone."""

import copy
import ctypes
import os
import random
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from raysearch.config import TrialConfig
from raysearch.data.dataset import Dataset, Split
from raysearch.models import infer
from raysearch.train.distributed import World
from raysearch.train.memory import keep_freed_memory
from raysearch.train.optimizer import build_optimizer
from raysearch.train.resource_check import Cost, Seconds, count_passes, count_pixels
from raysearch.train.stage import Stage, train_split
from raysearch.train.task import Student, Task

SMALLEST = 2
"""Images of the first batch that is tried."""
REPEATS = 3
QUICK_S = 1.0
"""What may take no longer than this is done, however short the limit."""
LOOKED_AT = 100
"""Images at most, as many as a look takes at once."""
_M_TRIM_THRESHOLD, _LARGEST_KEPT = -1, 64 * 2**20
"""Of mallopt(3): the bytes that glibc may come to keep by itself."""
LEARNING = 1.5
"""What one of `count_passes` takes at most, in passes of a look."""


def probe(
    trial: TrialConfig, dataset: Dataset, limit_s: float = 10.0, *, threads: int = 1, device: torch.device | None = None
) -> Cost:
    """Look at two images; try the first stage of ``trial`` with a batch of two and then with one of its own size, as
    far as ``limit_s`` has room for them; and look at more images.

    ``dataset``: `open_training_data`'s; ``device``: where the training will be. None: it is not on this machine, so
    that nothing is tried; nor is it where this machine has not the memory for a batch of two. Only the first look is
    waited for however long it takes. Generators, threads and modes are left as found.
    """
    threads = min(threads, os.cpu_count() or threads)
    with _as_found(threads, device):
        return _cost_of(trial.model_copy(update={"compile": False}), dataset, limit_s, threads, device)


def _cost_of(trial: TrialConfig, dataset: Dataset, limit_s: float, threads: int, device: torch.device | None) -> Cost:
    where = device or torch.device("cpu")
    task = Task(trial, len(dataset.classes), World(0, 1, where))
    cost = _bytes_of(task)
    room = _free_memory() if where.type == "cpu" else torch.cuda.mem_get_info(where)[0]
    whole = min(task.stage.batch_size, len(dataset.splits["train"]), cost.batch_within(task.stage, room))
    if device is None or whole < SMALLEST:
        return cost
    return replace(cost, seconds=_seconds_of(task, dataset, whole, limit_s, threads))


def _bytes_of(task: Task) -> Cost:
    """Counted on torch's meta device, which computes shapes only."""
    size, student = task.stage.image_size, copy.deepcopy(task.student).to("meta").train()
    saved = _saved_bytes(student, torch.empty(SMALLEST, 3, size, size, device="meta"))
    optimizer = build_optimizer(student, task.stage.optimizer)
    for parameter in student.parameters():
        parameter.grad = torch.empty_like(parameter)
    optimizer.step()
    state = _nbytes(value for values in optimizer.state.values() for value in values.values())
    weights = _nbytes(task.teacher.model.state_dict().values())
    return Cost(
        parameters=sum(parameter.numel() for parameter in task.student.classifier.parameters()),
        num_features=task.student.classifier.num_features,
        weights_bytes=weights,
        optimizer_bytes=state,
        checkpoint_bytes=_nbytes(task.student.state_dict().values()) + weights + state,
        saved_bytes=saved / SMALLEST / size**2,
        seconds=None,
    )


def _saved_bytes(student: Student, images: Tensor) -> int:
    """Of the tensors that a forward pass keeps for the backward pass, weights left out."""
    weights = {parameter.untyped_storage()._cdata for parameter in student.parameters()}
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in weights:
            kept[storage._cdata] = storage
        return tensor.detach()

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        student(images)
    return sum(storage.nbytes() for storage in kept.values())


def _nbytes(values: Iterable[object]) -> int:
    return sum(value.nbytes for value in values if isinstance(value, Tensor))


def _seconds_of(task: Task, dataset: Dataset, whole: int, limit_s: float, threads: int) -> Seconds:
    """``whole``: images of the larger batch."""
    began, stage, longest = time.perf_counter(), task.stage, max(limit_s, 2 * QUICK_S)
    work, look = count_pixels(stage) * count_passes(stage), _look_seconds(task, SMALLEST)
    if SMALLEST * work * LEARNING * look > longest:
        return Seconds(0.0, LEARNING * look, look, 0)
    split = train_split(dataset, stage)
    small = _batch_seconds(task, split, SMALLEST, threads, limit_s / 4, QUICK_S)
    image_s, step_s, tried = small / SMALLEST, 0.0, SMALLEST
    if whole > SMALLEST and whole * image_s < longest:
        large = _batch_seconds(task, split, whole, threads, limit_s / 2, QUICK_S / 10)
        image_s, tried = max((large - small) / (whole - SMALLEST), 0.0) or large / whole, whole
        step_s = max(0.0, small - SMALLEST * image_s)
    left = max((began + limit_s - time.perf_counter()) / 2, QUICK_S / 8)
    images = int(left / look / task.config.inference_size**2)
    if images > SMALLEST:
        look = _look_seconds(task, min(images, LOOKED_AT))
    return Seconds(step_s, image_s / work, look, tried)


def _batch_seconds(task: Task, split: Split, size: int, threads: int, limit_s: float, quick_s: float) -> float:
    """Of making a batch and learning from it: the median of a few within the limit, without the first.

    The first is slower than others. It counts where the limit has no room for a second, which is not waited for unless
    the first took less than ``quick_s``.
    """
    stage = Stage(task.stage.model_copy(update={"batch_size": size, "accumulation": 1}), 0, split, task.world, 0, 0)
    stage.build_optimizer(task.student)
    loaders = threads - 1 if task.device.type == "cuda" else 0  # as a training in Ray has
    until, took = time.perf_counter() + limit_s, list[float]()
    while len(took) <= REPEATS:
        began = time.perf_counter()
        if took and began + took[-1] > until and not (len(took) == 1 and took[0] < quick_s):
            break
        batch = stage.batches[1, len(took) % len(stage.batches)]
        made = time.perf_counter()
        stage.step(task, batch, 1, 0)
        if task.device.type == "cuda":
            torch.cuda.synchronize(task.device)
        making, learning = made - began, time.perf_counter() - made
        took.append(max(making / loaders, learning) if loaders else making + learning)
    return median(took[1:] or took)


def _look_seconds(task: Task, images: int) -> float:
    """Of a pixel of so many images. What they show does not matter."""
    shown = np.zeros((images, task.config.inference_size, task.config.inference_size, 3), np.uint8)
    began = time.perf_counter()
    infer(task.teacher.model, shown)
    return (time.perf_counter() - began) / shown[..., 0].size


def _free_memory() -> float:
    """Bytes that this machine can still give to a process, as far as it says."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return float("inf")
    return next((1024.0 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable")), float("inf"))


def _give_memory_back() -> None:
    """Undo `keep_freed_memory`: what a large network has freed, the process of a search never needs again."""
    libc = ctypes.CDLL(None) if sys.platform.startswith("linux") else None
    if libc is not None and hasattr(libc, "malloc_trim"):
        libc.mallopt(_M_TRIM_THRESHOLD, _LARGEST_KEPT)
        libc.malloc_trim(0)


@contextmanager
def _as_found(threads: int, device: torch.device | None) -> Iterator[None]:
    """So many threads and gradients on within; generators, threads and modes as before afterwards."""
    before, states = torch.get_num_threads(), (random.getstate(), np.random.get_state())
    devices = [device] if device is not None and device.type == "cuda" else []
    try:
        torch.set_num_threads(threads)
        keep_freed_memory()  # as a training does
        with torch.random.fork_rng(devices=devices), torch.enable_grad():
            torch.manual_seed(0)
            yield
    finally:
        torch.set_num_threads(before)
        random.setstate(states[0])
        np.random.set_state(states[1])
        _give_memory_back()
