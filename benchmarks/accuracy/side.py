"""What the processes of all peers share: the task, the images, the clock and the result.

Imports neither torch nor a peer, because scripts in both environments use it.
"""

import io
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

LABELLED = ("train", "val")
"""The splits that a method may use in any way it likes."""


@dataclass(frozen=True)
class Task:
    """What a peer's process is given."""

    data: str
    """Folder with train.parquet, val.parquet and test.parquet"""
    out: str
    """Folder for the result"""
    started: float
    """`time.time()` just before the process started"""
    budget_s: float
    """Seconds from ``started`` to the final weights"""
    image_size: int | None
    """Side of the images in pixels. None: the peer decides."""
    variant: str = ""
    """Which of the models in the peer's script"""

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)))

    def labelled(self) -> tuple[list[Image.Image], np.ndarray]:
        """All labelled images, RGB, and their labels."""
        parts = [read_split(Path(self.data), split) for split in LABELLED]
        return [image for images, _ in parts for image in images], np.concatenate([labels for _, labels in parts])

    def test_images(self) -> list[Image.Image]:
        """The test images, RGB, without their labels."""
        return read_split(Path(self.data), "test")[0]


def read_task() -> Task:
    """The task whose file is the first argument of this process."""
    return Task(**json.loads(Path(sys.argv[1]).read_text()))


def read_split(folder: Path, split: str) -> tuple[list[Image.Image], np.ndarray]:
    """The decoded RGB images and the labels of a split."""
    table = pq.read_table(folder / f"{split}.parquet", columns=["image", "label"])
    images = [Image.open(io.BytesIO(row["bytes"])).convert("RGB") for row in table["image"].to_pylist()]
    return images, table["label"].to_numpy()


def squares(images: Sequence[Image.Image], size: int) -> np.ndarray:
    """Squash the images to uint8 [images, size, size, 3]."""
    return np.stack([np.asarray(image.resize((size, size), Image.Resampling.BICUBIC)) for image in images])


class Clock:
    """The part of the training time that has passed.

    A schedule that follows this clock ends with the budget, even if other processes change the speed of the machine.
    """

    def __init__(self, task: Task) -> None:
        self.begin = time.time()
        self.end = task.started + task.budget_s
        self.last = self.begin
        self.is_over = self.begin >= self.end

    def next_step(self) -> float | None:
        """The position of the next step: 0 at the begin, 1 at the end of the budget.

        Returns None if a step as long as the last one would end after the budget.
        """
        now = time.time()
        expected, self.last = now + (now - self.last), now
        if self.is_over or expected >= self.end:
            self.is_over = True
            return None
        return (now - self.begin) / (self.end - self.begin)


@dataclass(frozen=True)
class Trained:
    """The end of a training."""

    seconds: float
    """From the start of the process to the final weights"""
    epochs: float | None
    """Passes over the labelled images"""
    note: str = ""

    @classmethod
    def now(cls, task: Task, epochs: float | None, note: str = "") -> "Trained":
        """The weights are final now."""
        return cls(time.time() - task.started, epochs, note)


def write_result(
    task: Task,
    trained: Trained,
    packages: Sequence[str],
    predicted: np.ndarray | None = None,
    accuracy: float | None = None,
) -> None:
    """Write the predicted class of each test image, or the accuracy if the peer measures it itself."""
    out = Path(task.out)
    if predicted is not None:
        np.save(out / "predicted.npy", predicted.astype(np.int64))
    versions = {"python": sys.version.split()[0], **{name: version(name) for name in packages}}
    facts = {**asdict(trained), "versions": versions, "accuracy": accuracy}
    (out / "facts.json").write_text(json.dumps(facts))
