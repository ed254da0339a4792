import pytest
import torch

from raysearch.augment import draw_mix
from raysearch.augment.mixing import Cutmix, Mixup
from raysearch.config import AugmentConfig

BATCH, SIZE = 8, 16


def draw(seed=0, **config):
    return draw_mix(AugmentConfig(**config), BATCH, SIZE, SIZE, torch.Generator().manual_seed(seed))


def numbered(offset=0.0):
    """Images whose every pixel tells which image it is of."""
    return (torch.arange(BATCH) + offset).view(-1, 1, 1, 1).expand(BATCH, 3, SIZE, SIZE).contiguous()


@pytest.mark.parametrize("operation", ["mixup", "cutmix"])
@pytest.mark.parametrize("seed", range(5))
def test_every_label_has_mass_one_at_the_image_and_its_partner(operation, seed):
    mix, labels = draw(seed, mixing=operation), torch.tensor([0, 0, 1, 1, 2, 2, 3, 3])
    classes, masses = mix.labels(labels)
    assert sorted(mix.partner.tolist()) == list(range(BATCH))
    torch.testing.assert_close(masses.sum(1), torch.ones(BATCH))
    assert (masses >= 0).all()
    assert torch.equal(classes, torch.stack([labels, labels[mix.partner]], 1))


@pytest.mark.parametrize("seed", range(20))
def test_cutmix_labels_have_the_true_share_of_pixels_in_one_box(seed):
    mix, images = draw(seed, mixing="cutmix"), numbered()
    mixed = mix.images(images)
    is_own = mixed == images
    assert (is_own | (mixed == images[mix.partner])).all()
    share = mix.labels(torch.arange(BATCH))[1][:, 0]
    differs = mix.partner != torch.arange(BATCH)
    torch.testing.assert_close(is_own.float().mean((1, 2, 3))[differs], share[differs])
    taken = ~is_own[differs][0, 0]
    assert torch.equal(taken, taken.any(1)[:, None] & taken.any(0)[None, :]), "not a rectangle"


def test_mixup_is_the_convex_combination():
    mix, images = draw(mixing="mixup"), numbered()
    expected = mix.share * torch.arange(BATCH) + (1 - mix.share) * mix.partner
    assert 0 < mix.share < 1
    torch.testing.assert_close(mix.images(images), expected.view(-1, 1, 1, 1).expand_as(images))


@pytest.mark.parametrize("operation", ["mixup", "cutmix"])
def test_the_input_is_left_as_it_is(operation):
    images = numbered()
    draw(3, mixing=operation).images(images)
    assert torch.equal(images, numbered())


@pytest.mark.parametrize("config", [{"mixing": "none"}, {"mix_prob": 0.0}])
def test_mixing_that_is_off_never_mixes(config):
    assert all(draw(seed, **config) is None for seed in range(20))


def test_mix_prob_is_the_share_of_batches_mixed():
    drawn = [draw(seed, mix_prob=0.3) is not None for seed in range(400)]
    assert 0.22 < sum(drawn) / 400 < 0.38


@pytest.mark.parametrize(("switch_prob", "low", "high"), [(0.0, 0, 0), (0.5, 0.4, 0.6), (1.0, 1, 1)])
def test_both_draws_cutmix_at_the_switch_probability(switch_prob, low, high):
    drawn = [isinstance(draw(seed, mixing="both", switch_prob=switch_prob), Cutmix) for seed in range(400)]
    assert low <= sum(drawn) / 400 <= high


@pytest.mark.parametrize("alpha", [0.2, 1.0, 8.0])
def test_mixup_shares_have_the_moments_of_the_beta_distribution(alpha):
    shares = torch.tensor([draw(seed, mixing="mixup", mixup_alpha=alpha).share for seed in range(800)])
    assert abs(shares.mean() - 0.5) < 0.05
    assert shares.var().item() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.15)


def test_the_same_mix_takes_the_same_box_from_the_same_partner_in_both_views():
    mix = draw(mixing="cutmix")
    first, second = mix.images(numbered()), mix.images(numbered(offset=100.0))
    assert torch.equal(second - first, torch.full_like(first, 100.0))


def test_a_mix_is_repeatable_from_its_generator():
    one, same, other = (draw(seed, mixing="cutmix") for seed in (5, 5, 6))
    assert (one.share, one.box, one.partner.tolist()) == (same.share, same.box, same.partner.tolist())
    assert one.partner.tolist() != other.partner.tolist()


def test_a_box_by_hand():
    mix = Cutmix(torch.tensor([1, 0]), 0.5, (0, 1, 0, 2))
    mixed = mix.images(torch.tensor([1.0, 2.0]).view(2, 1, 1, 1).expand(2, 1, 2, 2))
    assert mixed[:, 0].tolist() == [[[2, 2], [1, 1]], [[1, 1], [2, 2]]]


def test_mixup_by_hand():
    mix = Mixup(torch.tensor([1, 0]), 0.25)
    mixed = mix.images(torch.tensor([4.0, 8.0]).view(2, 1, 1, 1))
    assert mixed.flatten().tolist() == [7, 5]
    classes, masses = mix.labels(torch.tensor([3, 9]))
    assert (classes.tolist(), masses.tolist()) == ([[3, 9], [9, 3]], [[0.25, 0.75], [0.25, 0.75]])
