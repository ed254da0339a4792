import torch

from raysearch.augment import random_erasing
from raysearch.augment.boxes import Boxes
from raysearch.augment.erasing import draw_erasing, erase

UNTOUCHED = 1000.0  # a value that normal noise does not take


def erased(probability, batch=300, size=32, seed=0):
    images = torch.full((batch, 3, size, size), UNTOUCHED)
    result = random_erasing(images, probability, torch.Generator().manual_seed(seed))
    assert (images == UNTOUCHED).all(), "the input was changed"
    return result


def test_probability_zero_is_the_identity():
    assert (erased(0.0) == UNTOUCHED).all()


def test_probability_one_erases_one_rectangle_of_every_image_in_all_channels():
    changed = erased(1.0) != UNTOUCHED
    assert (changed == changed[:, :1]).all()
    mask = changed[:, 0]
    rows, columns = mask.any(2), mask.any(1)
    assert torch.equal(mask, rows[:, :, None] & columns[:, None, :])
    for side in (rows, columns):
        starts = side.int().diff(dim=1, prepend=torch.zeros(len(side), 1)).clamp_min(0).sum(1)
        assert (starts == 1).all(), "places without a gap"


def test_the_area_and_the_shape_are_those_that_timm_draws():
    mask = (erased(1.0) != UNTOUCHED)[:, 0]
    share = mask.float().mean((1, 2))
    assert 0.015 < share.min() < 0.04  # 0.02 and a pixel's rounding
    assert 0.3 < share.max() < 0.35  # 1 / 3
    assert 0.15 < share.mean() < 0.2  # uniform between them
    aspect = mask.any(2).sum(1) / mask.any(1).sum(1)
    assert 0.2 < aspect.min() < 0.45
    assert 2.2 < aspect.max() < 5
    assert 0.4 < (aspect < 1).float().mean() < 0.6


def test_rectangles_reach_every_row_and_column_alike_from_both_ends():
    mask = (erased(1.0, batch=2000) != UNTOUCHED)[:, 0]
    for axis in (1, 2):
        share = mask.any(axis).float().mean(0)
        assert share.min() > 0.02
        assert (share - share.flip(0)).abs().max() < 0.05


def test_what_is_filled_in_is_standard_normal():
    result = erased(1.0)
    noise = result[result != UNTOUCHED]
    assert abs(noise.mean()) < 0.02
    assert abs(noise.std() - 1) < 0.02


def test_images_are_erased_at_the_given_rate():
    is_erased = (erased(0.2, batch=2000, size=8) != UNTOUCHED).flatten(1).any(1)
    assert 0.17 < is_erased.float().mean() < 0.23


def test_it_is_repeatable_from_its_generator():
    assert torch.equal(erased(0.5, batch=20), erased(0.5, batch=20))
    assert not torch.equal(erased(0.5, batch=20), erased(0.5, batch=20, seed=1))


def test_a_box_by_hand_is_filled_with_the_generators_normal_noise():
    boxes = Boxes(*(torch.tensor(places) for places in ([0, 1], [0, 3], [0, 1], [2, 2])))
    result = erase(torch.zeros(2, 1, 3, 2), boxes, torch.Generator().manual_seed(0))
    noise = torch.randn(2, generator=torch.Generator().manual_seed(0))
    assert (result[0] == 0).all(), "the first box has no rows"
    assert result[1, 0].tolist() == [[0, 0], [0, noise[0]], [0, noise[1]]]


def test_a_drawn_box_is_erased_alike_in_two_views_with_noise_of_their_own():
    boxes = draw_erasing(20, 9, 7, 0.5, torch.Generator().manual_seed(0))
    generator, images = torch.Generator().manual_seed(1), torch.full((20, 3, 9, 7), UNTOUCHED)
    first, second = erase(images, boxes, generator), erase(images, boxes, generator)
    assert torch.equal(first == UNTOUCHED, second == UNTOUCHED)
    assert not torch.equal(first, second)


def test_a_dtype_is_kept():
    images = torch.ones(4, 3, 8, 8, dtype=torch.bfloat16)
    assert random_erasing(images, 1.0, torch.Generator().manual_seed(0)).dtype == torch.bfloat16
