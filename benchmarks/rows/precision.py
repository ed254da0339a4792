"""Our choice of precision and memory format against eager float32 with channels first: not slower, up to noise.

Measures forward, cross entropy and backward of every small-image backbone of ours on the CPU, with 32 images of 32 px.
The ratio is the worst of all backbones. The note lists them all.
"""

from collections.abc import Callable

import timm
import torch
import torch.nn.functional as F

from benchmarks.measure import Measured, speedup
from benchmarks.our_step import ALONE, CLASSES, PLAIN
from raysearch.config import TrialConfig
from raysearch.models import OWN_BACKBONES
from raysearch.train.task import Student, Task

NAME = "precision"
BOUND = 0.97
IS_AT_MOST = False

BATCH = 32
IMAGE_SIZE = 32


def measure() -> Measured:
    small = [name for name in OWN_BACKBONES if timm.get_pretrained_cfg_value(name, "input_size")[-1] == IMAGE_SIZE]
    results = {name: compare(name) for name in small}
    worst = min(results, key=lambda name: results[name].ratio)
    note = ", ".join(f"{name} {measured.ratio:.2f} ({measured.note})" for name, measured in results.items())
    return Measured(results[worst].ratio, f"{results[worst].ours} ({worst})", results[worst].peer, note)


def compare(backbone: str) -> Measured:
    """Compare a training pass as `Task` sets it up with the same pass in eager float32."""
    config = TrialConfig(backbone=backbone, image_size=IMAGE_SIZE, method=PLAIN)
    task = Task(config, CLASSES, ALONE)
    eager = Task(config.model_copy(update={"precision": "float32"}), CLASSES, ALONE)
    eager.student.to(memory_format=torch.contiguous_format)
    return speedup(
        training_pass(task.student, torch.channels_last, task.precision),
        training_pass(eager.student, torch.contiguous_format, eager.precision),
        pairs=5,
        note=task.precision,
    )


def training_pass(student: Student, layout: torch.memory_format, precision: str) -> Callable[[], None]:
    """A function that runs forward, cross entropy and backward on a batch of noise."""
    images = torch.randn(BATCH, 3, IMAGE_SIZE, IMAGE_SIZE).contiguous(memory_format=layout)
    labels = torch.randint(CLASSES, (BATCH,))
    student.train()

    def run() -> None:
        student.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            outputs, _ = student(images)
        F.cross_entropy(outputs.logits.float(), labels).backward()

    return run
