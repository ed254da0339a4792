import numpy as np
import pytest
import torch
from torchvision.transforms.functional import pil_to_tensor

from raysearch.augment import augment_view, stubborn_classes
from raysearch.augment.stubborn import ColourShift, draw_colour_shift, stubborn_augmentation
from raysearch.config import AugmentConfig, StubbornConfig

ALWAYS = StubbornConfig(probability=1.0)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def noise(batch, size=8, low=0, high=256):
    return torch.randint(low, high, (batch, 3, size, size), generator=seeded(9), dtype=torch.uint8)


def shift(scales=(1.0, 1.0, 1.0), shifts=(0.0, 0.0, 0.0), low=(0.0, 0.0, 0.0), high=(0.0, 0.0, 0.0)):
    return ColourShift(*(torch.tensor([values]) for values in (scales, shifts, low, high)))


def four_pixels(*values):
    return torch.tensor(values, dtype=torch.uint8).view(1, 1, 1, 4).expand(1, 3, 1, 4)


class TestColourShift:
    def test_scale_and_shift_by_hand(self):
        """Of mean 100: 40 -> -60 / 2 + 100 = 70; then red -20, blue -100 with clamping at 0."""
        moved = shift(scales=(0.5, 1.5, 0.5), shifts=(-20.0, 0.0, -100.0)).images(four_pixels(40, 80, 120, 160))
        assert moved[0, :, 0].tolist() == [[50, 70, 90, 110], [10, 70, 130, 190], [0, 0, 10, 30]]

    def test_the_stretch_by_hand(self):
        """Ranks 0 to 3; a third at either end is one rank: 20 and 30 become the ends 0 and 90."""
        pixels = four_pixels(0, 20, 30, 90)
        assert shift(low=(1 / 3, 0, 0)).images(pixels)[0, 0, 0].tolist() == [0, 0, 13, 90]
        assert shift(high=(1 / 3, 0, 0)).images(pixels)[0, 0, 0].tolist() == [0, 60, 90, 90]
        both = shift(low=(0, 1 / 3, 0), high=(0, 1 / 3, 0)).images(pixels)[0, :, 0]
        assert both.tolist() == [[0, 20, 30, 90], [0, 0, 90, 90], [0, 20, 30, 90]]

    def test_the_stretch_against_numpy_percentiles(self):
        images = noise(4, low=50, high=150)
        drawn = draw_colour_shift(4, StubbornConfig(shift=0.0, scale=0.0, clip=0.3), seeded())
        stretched = drawn.images(images)
        for at in np.ndindex(4, 3):
            channel = images[at].numpy().astype(float)
            ends = [100 * drawn.low[at].item(), 100 - 100 * drawn.high[at].item()]
            bottom, top = np.percentile(channel, ends, method="nearest")
            smallest, largest = channel.min(), channel.max()
            expected = (channel - bottom) / (top - bottom) * (largest - smallest) + smallest
            assert np.abs(expected.clip(smallest, largest) - stretched[at].numpy()).max() <= 0.51

    def test_the_stretch_does_not_undo_the_shift(self):
        images = noise(50, low=100, high=150)
        config = StubbornConfig(shift=0.3, scale=0.0, clip=0.1)
        drawn = draw_colour_shift(50, config, seeded())
        moved = drawn.images(images).flatten(2).float().mean(2) - images.flatten(2).float().mean(2)
        assert (moved - drawn.shifts).abs().max() < 8
        assert moved[:, 0].min() < -60

    def test_a_channel_of_one_colour_stays_plain(self):
        plain = torch.full((2, 3, 5, 5), 77, dtype=torch.uint8)
        assert torch.equal(draw_colour_shift(2, StubbornConfig(shift=0.0), seeded()).images(plain), plain)

    def test_magnitudes_are_those_of_the_config_and_only_red_and_blue_darken(self):
        drawn = draw_colour_shift(2000, StubbornConfig(shift=0.2, scale=0.4, clip=0.1), seeded())
        assert (drawn.shifts[:, 1] == 0).all()
        for channel in (0, 2):
            assert -51 <= drawn.shifts[:, channel].min() < -49
            assert -1 < drawn.shifts[:, channel].max() <= 0
        assert 0.6 <= drawn.scales.min() < 0.61 < 1.39 < drawn.scales.max() <= 1.4
        for clipped in (drawn.low, drawn.high):
            assert 0 <= clipped.min() < 0.001 < 0.099 < clipped.max() <= 0.1

    def test_every_image_and_channel_has_its_own_draws(self):
        drawn = draw_colour_shift(20, ALWAYS, seeded())
        for values in (drawn.scales, drawn.low, drawn.high):
            assert len(values.unique()) == 60


class TestWhichImages:
    def test_only_images_of_stubborn_classes_change(self):
        images, is_stubborn = noise(6), torch.tensor([True, False, True, False, False, True])
        augmented = stubborn_augmentation(images, is_stubborn, ALWAYS, seeded())
        assert torch.equal((augmented != images).flatten(1).any(1), is_stubborn)
        assert torch.equal(images, noise(6)), "the input was changed"

    def test_they_change_at_the_given_probability(self):
        images, everyone = noise(1000, size=4), torch.ones(1000, dtype=torch.bool)
        augmented = stubborn_augmentation(images, everyone, StubbornConfig(probability=0.3), seeded())
        assert 0.25 < (augmented != images).flatten(1).any(1).float().mean() < 0.35

    def test_it_stands_after_the_crop_and_before_the_policy(self, monkeypatch):
        seen = []
        policies = {"basic": lambda image: seen.append(pil_to_tensor(image)) or image}
        monkeypatch.setattr("raysearch.augment.views.POLICIES", policies)
        config = AugmentConfig(policy="basic", hflip=1.0, crop="none", stubborn=ALWAYS)
        images, is_stubborn = noise(2), torch.tensor([True, False])
        view = augment_view(images, config, 8, seeded(), is_stubborn)
        assert torch.equal(torch.stack(seen), view)
        assert torch.equal(view[1], images[1].flip(-1))
        assert not torch.equal(view[0], images[0].flip(-1))

    def test_without_recalls_yet_no_image_is_stubborn(self):
        config = AugmentConfig(policy="none", hflip=0.0, crop="none", stubborn=ALWAYS)
        assert torch.equal(augment_view(noise(2), config, 8, seeded()), noise(2))


class TestStubbornClasses:
    @pytest.mark.parametrize(
        ("share", "expected"),
        [(0.2, [1]), (0.4, [1, 4]), (0.01, [1]), (0.001, [1]), (0.6, [0, 1, 4]), (1.0, [0, 1, 2, 3, 4])],
    )
    def test_the_lowest_share_at_least_one_and_of_equal_ones_the_first(self, share, expected):
        recalls = np.array([0.5, 0.1, 0.9, 0.5, 0.2])
        found = stubborn_classes(recalls, StubbornConfig(share=share))
        assert found.dtype == bool
        assert np.flatnonzero(found).tolist() == expected

    def test_a_share_that_float_arithmetic_puts_just_below_a_whole_number_counts_as_it(self):
        assert stubborn_classes(np.arange(100) / 100, StubbornConfig(share=0.29)).sum() == 29

    def test_below_a_given_recall_takes_the_place_of_the_share(self):
        recalls = np.array([0.5, 0.1, 0.9])
        assert stubborn_classes(recalls, StubbornConfig(recall_below=0.5)).tolist() == [False, True, False]
        assert not stubborn_classes(recalls, StubbornConfig(recall_below=0.1)).any()

    @pytest.mark.parametrize("config", [StubbornConfig(share=1.0), StubbornConfig(recall_below=0.9)])
    def test_a_class_without_held_out_images_is_not_stubborn(self, config):
        assert stubborn_classes(np.array([np.nan, 0.2, np.nan]), config).tolist() == [False, True, False]
