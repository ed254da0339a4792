import torch

from raysearch.augment import random_erasing

UNTOUCHED = 1000.0  # a value that normal noise does not take


def erase(probability, batch=300, size=32, seed=0):
    images = torch.full((batch, 3, size, size), UNTOUCHED)
    erased = random_erasing(images, probability, torch.Generator().manual_seed(seed))
    assert (images == UNTOUCHED).all(), "the input was changed"
    return erased


def test_probability_zero_is_the_identity():
    assert (erase(0.0) == UNTOUCHED).all()


def test_probability_one_erases_one_rectangle_of_every_image_in_all_channels():
    changed = erase(1.0) != UNTOUCHED
    assert (changed == changed[:, :1]).all()
    mask = changed[:, 0]
    rows, columns = mask.any(2), mask.any(1)
    assert torch.equal(mask, rows[:, :, None] & columns[:, None, :])
    for side in (rows, columns):
        starts = side.int().diff(dim=1, prepend=torch.zeros(len(side), 1)).clamp_min(0).sum(1)
        assert (starts == 1).all(), "places without a gap"


def test_the_area_and_the_shape_are_those_that_timm_draws():
    mask = (erase(1.0) != UNTOUCHED)[:, 0]
    share = mask.float().mean((1, 2))
    assert 0.015 < share.min() < 0.04  # 0.02 and a pixel's rounding
    assert 0.3 < share.max() < 0.35  # 1 / 3
    assert 0.15 < share.mean() < 0.2  # uniform between them
    aspect = mask.any(2).sum(1) / mask.any(1).sum(1)
    assert 0.2 < aspect.min() < 0.45
    assert 2.2 < aspect.max() < 5
    assert 0.4 < (aspect < 1).float().mean() < 0.6


def test_rectangles_reach_every_row_and_column_alike_from_both_ends():
    mask = (erase(1.0, batch=2000) != UNTOUCHED)[:, 0]
    for axis in (1, 2):
        share = mask.any(axis).float().mean(0)
        assert share.min() > 0.02
        assert (share - share.flip(0)).abs().max() < 0.05


def test_what_is_filled_in_is_standard_normal():
    erased = erase(1.0)
    noise = erased[erased != UNTOUCHED]
    assert abs(noise.mean()) < 0.02
    assert abs(noise.std() - 1) < 0.02


def test_images_are_erased_at_the_given_rate():
    is_erased = (erase(0.2, batch=2000, size=8) != UNTOUCHED).flatten(1).any(1)
    assert 0.17 < is_erased.float().mean() < 0.23


def test_it_is_repeatable_from_its_generator():
    assert torch.equal(erase(0.5, batch=20), erase(0.5, batch=20))
    assert not torch.equal(erase(0.5, batch=20), erase(0.5, batch=20, seed=1))
