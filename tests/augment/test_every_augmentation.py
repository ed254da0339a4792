"""Properties of every augmentation, tested over one table."""

import pickle
import random

import numpy as np
import pytest
import torch

from raysearch.augment import augment_view, draw_mix, finish_view
from raysearch.augment.views import POLICIES
from raysearch.config import AugmentConfig, StubbornConfig

OFF = AugmentConfig(crop="none", hflip=0.0, policy="none", erasing=0.0, cutout=0.0, mixing="none")
ALL_STUBBORN = StubbornConfig(probability=1.0)


def with_(**values):
    return OFF.model_copy(update=values)


ON_PIXELS = {f"policy {name}": with_(policy=name) for name in POLICIES if name != "none"} | {
    "crop pad": with_(crop="pad"),
    "crop resized": with_(crop="resized"),
    "flip": with_(hflip=0.5),
    "stubborn": with_(stubborn=ALL_STUBBORN),
}
ON_FLOATS = {"erasing": with_(erasing=0.7), "cutout": with_(cutout=0.7)}
MIXINGS = {f"mixing {name}": with_(mixing=name) for name in ("mixup", "cutmix", "both", "ricap")}
ALL = ON_PIXELS | ON_FLOATS | MIXINGS

NOT_VARIED = {
    "crop pad": with_(crop="pad", crop_padding=0),
    "crop resized": with_(crop="resized", crop_scale=1.0),
    "flip": with_(hflip=0.0),
    "stubborn without probability": with_(stubborn=StubbornConfig(probability=0.0)),
    "stubborn without magnitude": with_(stubborn=StubbornConfig(probability=1.0, shift=0.0, scale=0.0, clip=0.0)),
    "erasing": with_(erasing=0.0),
    "cutout without probability": with_(cutout=0.0),
    "cutout without size": with_(cutout=1.0, cutout_size=0.001),
    "mixing none": with_(mixing="none"),
    "mix_prob": with_(mixing="both", mix_prob=0.0),
}


def photos(batch, size):
    return torch.randint(0, 256, (batch, 3, size, size), generator=seeded(9), dtype=torch.uint8)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def apply(config, images, generator):
    """Every active operation of ``config``: on pixels, then on floats, as in a training."""
    size = images.shape[-1]
    view = augment_view(images, config, size, generator, torch.ones(len(images), dtype=torch.bool))
    finished = finish_view(view.float(), config, generator)
    mix = draw_mix(config, len(images), size, size, generator)
    return view, finished if mix is None else mix.images(finished)


@pytest.mark.parametrize(("batch", "size"), [(2, 32), (2, 9), (5, 17), (4, 24)])
@pytest.mark.parametrize("config", ALL.values(), ids=ALL)
class TestEveryAugmentation:
    def test_keeps_shape_dtype_range_and_its_input(self, config, batch, size):
        images = photos(batch, size)
        view, finished = apply(config, images, seeded())
        assert view.shape == finished.shape == images.shape
        assert (view.dtype, finished.dtype) == (torch.uint8, torch.float32)
        assert finished.isfinite().all()
        assert finished.min() >= -10  # erasing's noise is normal
        assert finished.max() <= 255
        assert torch.equal(images, photos(batch, size)), "the input was changed"

    def test_is_replayable_from_its_generator_whatever_the_global_state(self, config, batch, size):
        generator = seeded(3)
        state = generator.get_state()
        first = apply(config, photos(batch, size), generator)
        torch.rand(3)
        generator.set_state(state)
        assert all(map(torch.equal, first, apply(config, photos(batch, size), generator)))

    def test_leaves_the_global_generators_as_found(self, config, batch, size):
        states = torch.get_rng_state(), random.getstate(), pickle.dumps(np.random.get_state())
        apply(config, photos(batch, size), seeded())
        after = torch.get_rng_state(), random.getstate(), pickle.dumps(np.random.get_state())
        assert torch.equal(states[0], after[0])
        assert states[1:] == after[1:]


@pytest.mark.parametrize("config", ALL.values(), ids=ALL)
def test_every_augmentation_changes_something_and_differs_from_seed_to_seed(config):
    images = photos(4, 32)
    results = [apply(config, images, seeded(seed))[1] for seed in range(5)]
    assert any(not torch.equal(result, images.float()) for result in results)
    assert any(not torch.equal(result, results[0]) for result in results[1:])


@pytest.mark.parametrize("size", [9, 32])
@pytest.mark.parametrize("config", NOT_VARIED.values(), ids=NOT_VARIED)
def test_at_probability_or_magnitude_zero_every_augmentation_is_the_identity(config, size):
    images = photos(3, size)
    for seed in range(3):
        view, finished = apply(config, images, seeded(seed))
        assert torch.equal(view, images)
        assert torch.equal(finished, images.float())


@pytest.mark.parametrize("config", MIXINGS.values(), ids=MIXINGS)
def test_a_mix_travels_between_processes(config):
    """Loader workers send what they drew to the training."""
    mix = draw_mix(config, 4, 8, 8, seeded())
    images = photos(4, 8).float()
    assert torch.equal(pickle.loads(pickle.dumps(mix)).images(images), mix.images(images))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("config", (MIXINGS | ON_FLOATS).values(), ids=MIXINGS | ON_FLOATS)
def test_on_a_gpu_the_same_pixels_are_taken_as_on_the_cpu(config):
    images, labels = torch.rand(8, 3, 17, 17, generator=seeded()) + 100, torch.arange(8)
    here, there = (finish_view(images.to(device), config, seeded()) for device in ("cpu", "cuda"))
    assert there.device.type == "cuda"
    assert torch.equal(here == images, there.cpu() == images)
    if mix := draw_mix(config, 8, 17, 17, seeded()):
        torch.testing.assert_close(mix.images(images.cuda()).cpu(), mix.images(images))
        for cpu, gpu in zip(mix.labels(labels), mix.labels(labels.cuda()), strict=True):
            assert gpu.device.type == "cuda"
            assert torch.equal(gpu.cpu(), cpu)
