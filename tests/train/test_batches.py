"""A batch does not depend on the process that makes it, nor on the order."""

import numpy as np
import pytest
import torch

from raysearch.config import TrialConfig
from raysearch.train.batches import Batches, derive_seed
from raysearch.train.distributed import World

CPU = torch.device("cpu")
STAGE = TrialConfig(image_size=16, batch_size=6, augment={"policy": "autoaugment", "crop_padding": 2}, seed=5)


def batches(digits, rank=0, size=1, number=0, stage=STAGE):
    return Batches(digits.splits["train"], stage, number, World(rank, size, CPU))


def are_equal(a, b):
    return torch.equal(a.views, b.views) and torch.equal(a.labels, b.labels) and a.seed == b.seed


@pytest.mark.parametrize("workers", [1, 2])
def test_loader_workers_make_the_same_batches_as_the_training(digits, workers):
    source = batches(digits)
    pairs = list(zip(source.iterate_epoch(3), source.iterate_epoch(3, workers), strict=True))
    assert len(pairs) == len(source) == 40 // 6
    assert all(are_equal(a, b) for a, b in pairs)


def test_a_batch_can_be_made_again_alone(digits):
    assert are_equal(list(batches(digits).iterate_epoch(2))[4], batches(digits)[2, 4])


def test_epochs_stages_and_seeds_differ(digits):
    reference = batches(digits)[1, 0]
    other_seed = STAGE.model_copy(update={"seed": 6})
    for other in (batches(digits)[2, 0], batches(digits, number=1)[1, 0], batches(digits, stage=other_seed)[1, 0]):
        assert not are_equal(reference, other)


def test_the_processes_of_a_world_share_an_epoch_without_overlap(digits):
    plain = STAGE.model_copy(update={"augment": STAGE.augment.model_copy(update={"mixing": "none"})})
    seen = []
    for rank in range(2):
        share = batches(digits, rank, 2, stage=plain)
        assert len(share) == 3
        order = torch.randperm(40, generator=share._generator(1))
        for number in range(3):
            start = (2 * number + rank) * 6
            labels = torch.from_numpy(np.array(digits.splits["train"].labels))[order[start : start + 6]]
            assert torch.equal(share[1, number].labels, labels)
            seen += order[start : start + 6].tolist()
    assert len(seen) == len(set(seen)) == 36


def test_only_whole_steps_are_taken(digits):
    accumulating = STAGE.model_copy(update={"accumulation": 4})
    assert len(batches(digits, stage=accumulating)) == 4  # of 6 whole batches, the 4 that make a step


def test_a_derived_seed_changes_with_every_part():
    assert len({derive_seed(*parts) for parts in [(0,), (1,), (0, 0), (0, 1), (1, 0), (0, 0, 1)]}) == 6
    assert 0 <= derive_seed(2**32 - 1, 7) < 2**63
