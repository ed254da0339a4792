"""Measures what a training costs: times from a few real steps on this machine, bytes from tensor shapes alone."""

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
from raysearch.train.stage import Stage, open_train_split
from raysearch.train.task import Student, Task

SMALL_BATCH = 2
"""Images of the first batch that is measured."""
REPEATS = 3
"""Measured batches of each size, without the first one."""
QUICK_S = 1.0
"""A measurement that takes at most this long is made even if the limit is shorter."""
MAX_INFERENCE_IMAGES = 100
"""Most images to measure inference with: the batch size of an evaluation."""
_M_TRIM_THRESHOLD, _TRIM_BYTES = -1, 64 * 2**20
"""Parameter of mallopt(3), and its value after a probe: as much as glibc may choose by itself."""
TRAIN_TO_INFERENCE = 1.5
"""Upper bound of the time of one training pass (`count_passes`) relative to an inference pass."""


def probe(
    trial: TrialConfig, dataset: Dataset, limit_s: float = 10.0, *, threads: int = 1, device: torch.device | None = None
) -> Cost:
    """Measure the cost of the first stage of ``trial`` within about ``limit_s`` seconds.

    Measures inference on two images, training with a batch of two and with a full batch, and inference on more images.
    Skips a step for which the time is too short, except the first one. ``dataset``: from `open_training_data`.

    ``device``: the device of the training. None: it is not on this machine. The result then has no seconds, as it does
    if a batch of two does not fit into memory. Generators, threads and modes are restored.
    """
    threads = min(threads, os.cpu_count() or threads)
    with _restoring_state(threads, device):
        return _measure_cost(trial.model_copy(update={"compile": False}), dataset, limit_s, threads, device)


def _measure_cost(
    trial: TrialConfig, dataset: Dataset, limit_s: float, threads: int, device: torch.device | None
) -> Cost:
    task_device = device or torch.device("cpu")
    task = Task(trial, len(dataset.classes), World(0, 1, task_device))
    cost = _count_bytes(task)
    free_bytes = _free_memory() if task_device.type == "cpu" else torch.cuda.mem_get_info(task_device)[0]
    full_batch = min(task.stage.batch_size, len(dataset.splits["train"]), cost.batch_within(task.stage, free_bytes))
    if device is None or full_batch < SMALL_BATCH:
        return cost
    return replace(cost, seconds=_measure_seconds(task, dataset, full_batch, limit_s, threads))


def _count_bytes(task: Task) -> Cost:
    """The cost without seconds. Uses torch's meta device, which computes only shapes."""
    size, student = task.stage.image_size, copy.deepcopy(task.student).to("meta").train()
    saved = _count_saved_bytes(student, torch.empty(SMALL_BATCH, 3, size, size, device="meta"))
    optimizer = build_optimizer(student, task.stage.optimizer)
    for parameter in student.parameters():
        parameter.grad = torch.empty_like(parameter)
    optimizer.step()
    state = _sum_bytes(value for values in optimizer.state.values() for value in values.values())
    weights = _sum_bytes(task.teacher.model.state_dict().values())
    return Cost(
        parameters=sum(parameter.numel() for parameter in task.student.classifier.parameters()),
        num_features=task.student.classifier.num_features,
        weights_bytes=weights,
        optimizer_bytes=state,
        checkpoint_bytes=_sum_bytes(task.student.state_dict().values()) + weights + state,
        saved_bytes=saved / SMALL_BATCH / size**2,
        seconds=None,
    )


def _count_saved_bytes(student: Student, images: Tensor) -> int:
    """Bytes of the tensors that a forward pass saves for the backward pass, without weights."""
    weights = {parameter.untyped_storage()._cdata for parameter in student.parameters()}
    saved: dict[int, torch.UntypedStorage] = {}  # by storage: several saved tensors may share one

    def save(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in weights:
            saved[storage._cdata] = storage
        return tensor.detach()

    with saved_tensors_hooks(save, lambda tensor: tensor):
        student(images)
    return sum(storage.nbytes() for storage in saved.values())


def _sum_bytes(values: Iterable[object]) -> int:
    return sum(value.nbytes for value in values if isinstance(value, Tensor))


def _measure_seconds(task: Task, dataset: Dataset, full_batch: int, limit_s: float, threads: int) -> Seconds:
    """The times of a step. Two batch sizes separate the fixed time per batch from the time per image."""
    began, stage, longest = time.perf_counter(), task.stage, max(limit_s, 2 * QUICK_S)
    work, pixel_s = count_pixels(stage) * count_passes(stage), _time_inference(task, SMALL_BATCH)
    if SMALL_BATCH * work * TRAIN_TO_INFERENCE * pixel_s > longest:
        return Seconds(0.0, TRAIN_TO_INFERENCE * pixel_s, pixel_s, 0)
    split = open_train_split(dataset, stage)
    small_s = _time_batch(task, split, SMALL_BATCH, threads, limit_s / 4, QUICK_S)
    image_s, step_s, measured = small_s / SMALL_BATCH, 0.0, SMALL_BATCH
    if full_batch > SMALL_BATCH and full_batch * image_s < longest:
        full_s = _time_batch(task, split, full_batch, threads, limit_s / 2, QUICK_S / 10)
        # Noise can make the small batch the slower one: all of the time then counts as time per image.
        image_s = max((full_s - small_s) / (full_batch - SMALL_BATCH), 0.0) or full_s / full_batch
        step_s, measured = max(0.0, small_s - SMALL_BATCH * image_s), full_batch
    remaining_s = max((began + limit_s - time.perf_counter()) / 2, QUICK_S / 8)
    images = int(remaining_s / pixel_s / task.config.inference_size**2)
    if images > SMALL_BATCH:
        pixel_s = _time_inference(task, min(images, MAX_INFERENCE_IMAGES))
    return Seconds(step_s, image_s / work, pixel_s, measured)


def _time_batch(task: Task, split: Split, size: int, threads: int, limit_s: float, quick_s: float) -> float:
    """Seconds to prepare a batch and train on it: the median of several batches within the limit, without the first.

    The first batch is slower than the others. It is the result if the limit leaves no time for a second one. A second
    one that exceeds the limit is measured only if the first took less than ``quick_s``.
    """
    stage = Stage(task.stage.model_copy(update={"batch_size": size, "accumulation": 1}), 0, split, task.world, 0, 0)
    stage.build_optimizer(task.student)
    loaders = threads - 1 if task.device.type == "cuda" else 0  # as in `run_training_job`
    deadline, times = time.perf_counter() + limit_s, list[float]()
    while len(times) <= REPEATS:
        began = time.perf_counter()
        if times and began + times[-1] > deadline and not (len(times) == 1 and times[0] < quick_s):
            break
        batch = stage.batches[1, len(times) % len(stage.batches)]
        prepared = time.perf_counter()
        stage.step(task, batch, 1, 0)
        if task.device.type == "cuda":
            torch.cuda.synchronize(task.device)
        prepare_s, train_s = prepared - began, time.perf_counter() - prepared
        # Loader processes prepare batches while the GPU trains: the slower of the two counts.
        times.append(max(prepare_s / loaders, train_s) if loaders else prepare_s + train_s)
    return median(times[1:] or times)


def _time_inference(task: Task, images: int) -> float:
    """Seconds of inference per pixel, measured on ``images`` black images."""
    black = np.zeros((images, task.config.inference_size, task.config.inference_size, 3), np.uint8)
    began = time.perf_counter()
    infer(task.teacher.model, black)
    return (time.perf_counter() - began) / black[..., 0].size


def _free_memory() -> float:
    """Bytes of memory that are available on this machine; infinite if it does not report them."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return float("inf")
    return next((1024.0 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable")), float("inf"))


def _release_freed_memory() -> None:
    """Undo `keep_freed_memory`, and return freed memory to the kernel: a search's own process needs little."""
    libc = ctypes.CDLL(None) if sys.platform.startswith("linux") else None
    if libc is not None and hasattr(libc, "malloc_trim"):
        libc.mallopt(_M_TRIM_THRESHOLD, _TRIM_BYTES)
        libc.malloc_trim(0)


@contextmanager
def _restoring_state(threads: int, device: torch.device | None) -> Iterator[None]:
    """Use ``threads`` threads and enable gradients in the block. Restore generators, threads and modes after it."""
    before, states = torch.get_num_threads(), (random.getstate(), np.random.get_state())
    devices = [device] if device is not None and device.type == "cuda" else []
    try:
        torch.set_num_threads(threads)
        keep_freed_memory()  # as in a training, which would be slower without it
        with torch.random.fork_rng(devices=devices), torch.enable_grad():
            torch.manual_seed(0)
            yield
    finally:
        torch.set_num_threads(before)
        random.setstate(states[0])
        np.random.set_state(states[1])
        _release_freed_memory()
