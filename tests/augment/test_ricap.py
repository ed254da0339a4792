import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from raysearch.augment import draw_mix
from raysearch.augment.ricap import Patch, Ricap, draw_ricap
from raysearch.config import AugmentConfig

BATCH = 6


def draw(height=16, width=16, beta=0.3, crop="uniform", seed=0, batch=BATCH):
    return draw_ricap(beta, crop, batch, height, width, torch.Generator().manual_seed(seed))


def places(height, width, batch=BATCH):
    """Images whose three channels tell which image, row and column a pixel is of."""
    axes = torch.arange(batch), torch.arange(height), torch.arange(width)
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), 1).float()


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 21), st.integers(1, 21), st.sampled_from(["uniform", "middle"]), st.integers(0, 10_000))
def test_each_pixel_is_of_the_patch_it_lies_in_at_any_size(height, width, crop, seed):
    mix = draw(height, width, crop=crop, seed=seed)
    mixed = mix.images(places(height, width))
    covered = torch.zeros(height, width, dtype=torch.int64)
    for patch in mix.patches:
        rows, columns = slice(patch.top, patch.top + patch.height), slice(patch.left, patch.left + patch.width)
        covered[rows, columns] += 1
        region = mixed[:, :, rows, columns]
        assert (region[:, 0] == patch.partner.view(-1, 1, 1)).all()
        assert (region[:, 1] - torch.arange(patch.height)[:, None] == patch.from_top).all()
        assert (region[:, 2] - torch.arange(patch.width) == patch.from_left).all()
    assert (covered == 1).all(), "the four patches do not tile the image"


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 33), st.integers(1, 33), st.integers(0, 10_000))
def test_masses_are_the_shares_of_pixels_and_areas_sum_to_the_whole(height, width, seed):
    mix = draw(height, width, seed=seed)
    assert sum(patch.area for patch in mix.patches) == height * width
    classes, masses = mix.labels(torch.arange(BATCH))
    assert classes.shape == masses.shape == (BATCH, 4)
    torch.testing.assert_close(masses.sum(1), torch.ones(BATCH))
    counted = torch.zeros(BATCH, BATCH).scatter_add_(1, classes, masses)
    source = mix.images(places(height, width))[:, 0].flatten(1).long()
    shares = torch.nn.functional.one_hot(source, BATCH).float().mean(1)
    torch.testing.assert_close(counted, shares)


def test_four_patches_by_hand():
    swap, keep = torch.tensor([1, 0]), torch.tensor([0, 1])
    mix = Ricap(
        (
            Patch(keep, top=0, left=0, height=1, width=2, from_top=1, from_left=0),
            Patch(swap, top=0, left=2, height=1, width=1, from_top=0, from_left=0),
            Patch(swap, top=1, left=0, height=1, width=2, from_top=0, from_left=1),
            Patch(keep, top=1, left=2, height=1, width=1, from_top=1, from_left=2),
        )
    )
    images = torch.tensor([[[1.0, 2, 3], [4, 5, 6]], [[10, 20, 30], [40, 50, 60]]])[:, None]
    assert mix.images(images)[:, 0].tolist() == [[[4, 5, 10], [20, 30, 6]], [[40, 50, 1], [2, 3, 60]]]
    classes, masses = mix.labels(torch.tensor([7, 8]))
    assert classes.tolist() == [[7, 8, 8, 7], [8, 7, 7, 8]]
    torch.testing.assert_close(masses, torch.tensor([[2, 1, 2, 1], [2, 1, 2, 1]]) / 6)


def test_the_first_patch_is_the_images_own_and_the_others_are_permutations():
    partners = [patch.partner for patch in draw(batch=50).patches]
    assert torch.equal(partners[0], torch.arange(50))
    for partner in partners[1:]:
        assert sorted(partner.tolist()) == list(range(50))
        assert not torch.equal(partner, torch.arange(50))
    assert not torch.equal(partners[1], partners[2])


@pytest.mark.parametrize("beta", [0.3, 1.0, 5.0])
def test_the_point_has_the_moments_of_the_beta_distribution(beta):
    first = [draw(1000, 1000, beta, seed=seed, batch=2).patches[0] for seed in range(500)]
    for sides in ([patch.height for patch in first], [patch.width for patch in first]):
        shares = torch.tensor(sides) / 1000
        assert abs(shares.mean() - 0.5) < 0.06
        assert shares.var().item() == pytest.approx(1 / (4 * (2 * beta + 1)), rel=0.2)


@pytest.mark.parametrize(("height", "width"), [(8, 8), (7, 9)])
def test_middle_crops_leave_out_as_much_on_either_side(height, width):
    for patch in [patch for seed in range(10) for patch in draw(height, width, crop="middle", seed=seed).patches]:
        assert 0 <= height - patch.height - 2 * patch.from_top <= 1
        assert 0 <= width - patch.width - 2 * patch.from_left <= 1


def test_uniform_crops_are_taken_from_everywhere():
    patches = [draw(4, 4, beta=50.0, seed=seed).patches[3] for seed in range(200)]
    origins = {(patch.from_top, patch.from_left) for patch in patches if patch.area == 4}
    assert origins == {(top, left) for top in range(3) for left in range(3)}


def test_both_views_take_the_same_patches_from_the_same_partners():
    config = AugmentConfig(mixing="ricap")
    mix = draw_mix(config, BATCH, 16, 16, torch.Generator().manual_seed(2))
    first, second = mix.images(places(16, 16)), mix.images(places(16, 16) + 100)
    assert torch.equal(second - first, torch.full_like(first, 100))


def test_the_config_reaches_the_operation():
    config = AugmentConfig(mixing="ricap", ricap_crop="middle", ricap_beta=1000.0)
    mix = draw_mix(config, BATCH, 100, 100, torch.Generator().manual_seed(2))
    assert isinstance(mix, Ricap)
    assert all(40 < patch.height < 60 and patch.from_top == (100 - patch.height) // 2 for patch in mix.patches)


def test_the_input_is_left_as_it_is():
    images = places(9, 9)
    draw(9, 9).images(images)
    assert torch.equal(images, places(9, 9))
