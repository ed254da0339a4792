import numpy as np
import pytest
import torch

from raysearch.augment import augment_view, finish_view
from raysearch.augment.views import POLICIES
from raysearch.config import AugmentConfig

IMAGES = torch.randint(0, 256, (4, 3, 32, 32), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
PLAIN = AugmentConfig(crop="none", hflip=0.0, policy="none", erasing=0.0)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def view(config, seed=0, images=IMAGES):
    return augment_view(images, config, 32, seeded(seed))


def test_every_policy_of_the_config_can_be_drawn():
    assert set(POLICIES) == set(AugmentConfig.model_fields["policy"].annotation.__args__)


def test_two_views_from_one_generator_differ():
    generator, config = seeded(), AugmentConfig(policy="none")
    assert not torch.equal(augment_view(IMAGES, config, 32, generator), augment_view(IMAGES, config, 32, generator))


def test_the_basic_policy_turns_and_scales_about_the_middle():
    """A bright bar through the middle stays there, turned by at most 15 degrees; shrunken ones show what is outside."""
    bar = torch.zeros(300, 3, 33, 33, dtype=torch.uint8)
    bar[:, :, 15:18] = 255
    turned = augment_view(bar, PLAIN.model_copy(update={"policy": "basic"}), 33, seeded())
    assert (turned[:, :, 16, 16] > 150).all()
    heights = turned[:, 0, :, 26].float().argmax(1) - 16
    assert -5 <= heights.min() <= -3  # 10 tan(15 degrees) = 2.7, and half of the bar
    assert 1 <= heights.max() <= 3
    is_shrunken = (turned[:, 0, 0, 16] > 60).float().mean()
    assert 0.3 < is_shrunken < 0.5  # scales are uniform from 0.8 to 1.25
    assert len(turned.flatten(1).unique(dim=0)) == 300


def test_the_basic_policy_blurs_about_half_the_images():
    checks = (torch.arange(32)[:, None] + torch.arange(32)) % 2 * 255
    images = checks.to(torch.uint8).expand(200, 3, 32, 32)
    blur = POLICIES["basic"].transforms[1]
    torch.manual_seed(0)
    is_blurred = torch.tensor([not torch.equal(blur(image), image) for image in images])
    assert 0.4 < is_blurred.float().mean() < 0.6


def test_what_the_basic_policy_fills_in_is_the_mean_colour():
    black = torch.zeros(20, 3, 32, 32, dtype=torch.uint8)
    turned = augment_view(black, PLAIN.model_copy(update={"policy": "basic"}), 32, seeded())
    corners = turned[:, :, 0, 0].float().amax(0)
    assert corners.tolist() == pytest.approx([124, 116, 104], abs=2)


def test_images_of_another_size_than_asked_are_refused():
    with pytest.raises(AssertionError, match="images of 16 pixels"):
        augment_view(IMAGES, PLAIN, 16, seeded())


def test_a_list_of_images_is_for_resized_crops_only():
    with pytest.raises(AssertionError, match="crop: resized"):
        augment_view([np.zeros((40, 50, 3), np.uint8)], PLAIN, 32, seeded())


def test_images_of_any_size_become_views_of_the_asked_size():
    rng = np.random.default_rng(0)
    photos = [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in ((40, 50), (33, 90), (64, 35))]
    config = PLAIN.model_copy(update={"crop": "resized", "hflip": 0.5})
    views = augment_view(photos, config, 32, seeded())
    assert views.shape == (3, 3, 32, 32)
    assert views.dtype == torch.uint8
    assert torch.equal(views, augment_view(photos, config, 32, seeded()))
    assert not torch.equal(views, augment_view(photos, config, 32, seeded(1)))


def test_cutout_lies_over_what_was_erased():
    images = torch.full((50, 3, 16, 16), 100.0)
    config = PLAIN.model_copy(update={"erasing": 1.0, "cutout": 1.0, "cutout_size": 1.0})
    finished = finish_view(images, config, seeded())
    only_erased = finish_view(images, config.model_copy(update={"cutout": 0.0}), seeded())
    is_cut = finished == 0
    assert is_cut.flatten(1).any(1).all()
    assert torch.equal(finished[~is_cut], only_erased[~is_cut])
    assert (is_cut & (only_erased != 100)).any()


def test_finishing_without_erasing_and_cutout_is_the_identity():
    images = torch.randn(2, 3, 8, 8, generator=seeded())
    assert torch.equal(finish_view(images, PLAIN, seeded()), images)
