import pytest
import torch

from raysearch.augment import augment_view
from raysearch.augment.views import POLICIES
from raysearch.config import AugmentConfig

IMAGES = torch.randint(0, 256, (4, 3, 32, 32), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
IDENTITY = {"crop": "none", "hflip": 0.0, "policy": "none"}

CONFIGS = {f"policy {name}": AugmentConfig(policy=name) for name in POLICIES} | {
    "crop resized": AugmentConfig(crop="resized", policy="none"),
    "crop none": AugmentConfig(crop="none", policy="none"),
    "flip alone": AugmentConfig(**IDENTITY | {"hflip": 0.5}),
}


def view(config, seed=0):
    return augment_view(IMAGES, config, torch.Generator().manual_seed(seed))


def test_every_policy_of_the_config_can_be_drawn():
    assert set(POLICIES) == set(AugmentConfig.model_fields["policy"].annotation.__args__)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
class TestEveryView:
    def test_keeps_shape_and_dtype_and_the_input(self, config):
        before = IMAGES.clone()
        augmented = view(config)
        assert augmented.shape == IMAGES.shape
        assert augmented.dtype == torch.uint8
        assert torch.equal(IMAGES, before)

    def test_is_repeatable_from_its_generator_and_from_nothing_else(self, config):
        first = view(config)
        torch.rand(3)
        assert torch.equal(view(config), first)

    def test_differs_from_seed_to_seed(self, config):
        assert any(not torch.equal(view(config, seed), view(config, 0)) for seed in range(1, 6))

    def test_leaves_the_global_generator_as_found(self, config):
        torch.manual_seed(7)
        before = torch.get_rng_state()
        view(config)
        assert torch.equal(torch.get_rng_state(), before)


def test_with_everything_off_it_is_the_identity():
    assert torch.equal(view(AugmentConfig(**IDENTITY)), IMAGES)


def test_two_views_from_one_generator_differ():
    generator = torch.Generator().manual_seed(0)
    config = AugmentConfig(policy="none")
    assert not torch.equal(augment_view(IMAGES, config, generator), augment_view(IMAGES, config, generator))


def test_a_policy_changes_more_than_crop_and_flip_do():
    plain = AugmentConfig(**IDENTITY)
    for name in set(POLICIES) - {"none"}:
        config = plain.model_copy(update={"policy": name})
        assert any(not torch.equal(view(config, seed), IMAGES) for seed in range(4)), name
