"""The precision and layout that we choose against eager float32 with the channels first: never slower, but for noise.

Every small-image backbone of ours at 32 px, 32 images, on the CPU: forward, cross entropy, backward. The row's ratio
is that of the backbone that comes out worst; the note has them all.
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
    found = {name: compared(name) for name in small}
    worst = min(found, key=lambda name: found[name].ratio)
    note = ", ".join(f"{name} {measured.ratio:.2f} ({measured.note})" for name, measured in found.items())
    return Measured(found[worst].ratio, f"{found[worst].ours} ({worst})", found[worst].peer, note)


def compared(backbone: str) -> Measured:
    """A backbone's pass as `Task` sets it up, against the eager float32 one."""
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
    """Forward, cross entropy and backward of a batch of noise."""
    images = torch.randn(BATCH, 3, IMAGE_SIZE, IMAGE_SIZE).contiguous(memory_format=layout)
    labels = torch.randint(CLASSES, (BATCH,))
    student.train()

    def run() -> None:
        student.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            outputs, _ = student(images)
        F.cross_entropy(outputs.logits.float(), labels).backward()

    return run
