"""Batches of augmented views. The random numbers of a batch depend only on (seed, stage, epoch, batch, rank).

A batch is therefore the same in any process and in any order: in the training itself, in any number of loader workers,
and in a resumed training.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Generator, Tensor
from torch.utils.data import DataLoader, Dataset

from raysearch.augment import Mix, augment_view, draw_mix
from raysearch.config import TrialConfig
from raysearch.data.dataset import Split
from raysearch.train.distributed import World


@dataclass(frozen=True)
class Batch:
    """Augmented images before normalisation and mixing.

    ``views``: uint8 [views * batch, 3, height, width], all images of the first view first; ``labels``: int64 [batch];
    ``mix``: the mixing of every view; ``seed``: seed of random erasing and cutout, which run on the device.
    """

    views: Tensor
    labels: Tensor
    mix: Mix | None
    seed: int

    def pin_memory(self) -> "Batch":
        """The same batch in page-locked memory, from which copies to a GPU are asynchronous."""
        return replace(self, views=self.views.pin_memory(), labels=self.labels.pin_memory())


def draw_batch(
    images: "Tensor | list[np.ndarray]",
    labels: Tensor,
    stage: TrialConfig,
    generator: Generator,
    is_stubborn: Tensor | None = None,
) -> Batch:
    """Draw independent views of every image, and one mixing for all views (AR Algorithm 1).

    ``images``: uint8 [batch, 3, size, size], or for `crop: resized` uint8 arrays [height, width, 3] of any size;
    ``is_stubborn``: bool [batch], or None if the stubborn classes are not known yet.
    """
    size = stage.image_size
    mix = draw_mix(stage.augment, len(labels), size, size, generator)
    views = [augment_view(images, stage.augment, size, generator, is_stubborn) for _ in range(stage.method.views)]
    return Batch(torch.cat(views), labels, mix, _seed_from(generator))


class Batches(Dataset):
    """The batches of one stage that this process trains on. The key is (epoch, number in the epoch)."""

    def __init__(self, split: Split, stage: TrialConfig, stage_number: int, world: World) -> None:
        self.images, self.stage, self.stage_number, self.world = split.images, stage, stage_number, world
        self.labels = torch.from_numpy(np.array(split.labels))
        self.is_stubborn: Tensor | None = None
        """bool [classes]. The loop sets it between epochs."""

    def __len__(self) -> int:
        """Number of batches per epoch. The last incomplete optimizer step is dropped."""
        stage = self.stage
        images_per_step = stage.batch_size * self.world.size * stage.accumulation
        return len(self.labels) // images_per_step * stage.accumulation

    def __getitem__(self, key: tuple[int, int]) -> Batch:
        epoch, number = key
        order = torch.randperm(len(self.labels), generator=self._generator(epoch))
        start = (number * self.world.size + self.world.rank) * self.stage.batch_size
        chosen = order[start : start + self.stage.batch_size]
        images, labels = self.images[chosen.numpy()], self.labels[chosen]
        if isinstance(images, np.ndarray):
            images = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()
        is_stubborn = None if self.is_stubborn is None else self.is_stubborn[labels]
        generator = self._generator(epoch, number + 1, self.world.rank)
        return draw_batch(images, labels, self.stage, generator, is_stubborn)

    def iterate_epoch(self, epoch: int, workers: int = 0) -> Iterator[Batch]:
        """All batches of ``epoch``, prepared in advance by ``workers`` processes; 0: by this process, when used."""
        keys = [(epoch, number) for number in range(len(self))]
        if workers == 0:
            return (self[key] for key in keys)
        is_pinned = self.world.device.type == "cuda"
        own = Generator()  # the loader draws a number: from the global generator, that would change dropout
        loader = DataLoader(
            self, batch_size=None, sampler=keys, num_workers=workers, pin_memory=is_pinned, generator=own
        )
        return iter(loader)

    def _generator(self, *parts: int) -> Generator:
        return Generator().manual_seed(derive_seed(self.stage.seed, self.stage_number, *parts))


def derive_seed(*parts: int) -> int:
    """Derive a seed from ``parts``. It changes if any of them changes."""
    return int(np.random.SeedSequence([len(parts), *parts]).generate_state(1, np.uint64)[0] >> 1)


def _seed_from(generator: Generator) -> int:
    return int(torch.randint(2**62, (), generator=generator))
