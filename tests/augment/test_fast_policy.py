"""Our versions of torchvision's policies give the same draws and the same pixels."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps
from torchvision.transforms import v2

from raysearch.augment.fast_policy import (
    RAMP,
    VALUES,
    AutoAugment,
    PendingImage,
    RandAugment,
    TrivialAugmentWide,
    apply_policy,
    autocontrast_tables,
    contrast_table,
    equalize_tables,
)

POLICIES = {
    "imagenet": (AutoAugment(v2.AutoAugmentPolicy.IMAGENET), v2.AutoAugment(v2.AutoAugmentPolicy.IMAGENET)),
    "cifar10": (AutoAugment(v2.AutoAugmentPolicy.CIFAR10), v2.AutoAugment(v2.AutoAugmentPolicy.CIFAR10)),
    "svhn": (AutoAugment(v2.AutoAugmentPolicy.SVHN), v2.AutoAugment(v2.AutoAugmentPolicy.SVHN)),
    "randaugment": (RandAugment(), v2.RandAugment()),
    "trivialaugment": (TrivialAugmentWide(), v2.TrivialAugmentWide()),
}
OPERATIONS = {
    "Identity": [0.0],
    "ShearX": [-0.3, 0.2],
    "ShearY": [0.3],
    "TranslateX": [7.0],
    "TranslateY": [-3.0],
    "Rotate": [-30.0, 10.0],
    "Brightness": [-0.9, 0.4, 0.9],
    "Color": [-0.5, 0.9],
    "Contrast": [-0.9, -0.3, 0.9],
    "Sharpness": [-0.9, 0.9],
    "Posterize": [2, 4.0, 8],
    "Solarize": [0.0, 0.4, 1.0],
    "AutoContrast": [0.0],
    "Equalize": [0.0],
    "Invert": [0.0],
}


def pictures():
    """Noise, a dark gradient with a gap in its histogram, one colour, a channel of one value, few pixels."""
    rng = np.random.default_rng(0)
    gradient = np.linspace(30, 90, 40 * 30).reshape(40, 30, 1) + np.array([0, 20, 60])
    channel = rng.integers(0, 256, (20, 20, 3))
    channel[..., 1] = 17
    arrays = [
        rng.integers(0, 256, (33, 47, 3)),
        gradient,
        np.full((9, 9, 3), 200),
        channel,
        rng.integers(0, 4, (2, 3, 3)),
    ]
    return [Image.fromarray(array.astype(np.uint8)) for array in arrays]


def apply(policy, image, *operations):
    for transform_id, magnitude in operations:
        image = policy._apply_image_or_video_transform(
            image, transform_id, magnitude, interpolation=policy.interpolation, fill=policy._fill
        )
    return image.pixels() if isinstance(image, PendingImage) else image


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_operation_gives_torchvisions_pixels_alone_and_behind_others(operation):
    ours, theirs = POLICIES["imagenet"]
    ours, theirs = (RandAugment(), v2.RandAugment()) if operation == "Identity" else (ours, theirs)
    before = ("Identity",) if operation == "Identity" else ("Solarize", "Equalize", "Color", "Rotate", "Posterize")
    for image in pictures():
        for magnitude in OPERATIONS[operation]:
            operations = [((operation, magnitude),)]
            operations += [((first, OPERATIONS[first][-1]), (operation, magnitude)) for first in before]
            for chain in operations:
                np.testing.assert_array_equal(apply(ours, image, *chain), apply(theirs, image, *chain), str(chain))


def test_the_operations_tested_are_all_that_torchvision_may_draw():
    assert set(OPERATIONS) == {name for _, theirs in POLICIES.values() for name in theirs._AUGMENTATION_SPACE}


@pytest.mark.parametrize("name", POLICIES)
def test_a_policy_draws_and_gives_the_same_as_torchvisions(name):
    ours, theirs = POLICIES[name]
    images = torch.randint(0, 256, (60, 3, 31, 24), generator=torch.Generator().manual_seed(2), dtype=torch.uint8)
    torch.manual_seed(5)
    augmented = apply_policy(images, ours)
    state = torch.get_rng_state()
    torch.manual_seed(5)
    for got, image in zip(augmented, images, strict=True):
        expected = np.asarray(theirs(Image.fromarray(image.permute(1, 2, 0).contiguous().numpy())))
        np.testing.assert_array_equal(got.permute(1, 2, 0).numpy(), expected)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_images_keep_their_order_shape_and_channels_however_they_lie_in_memory(memory_format):
    images = torch.arange(5 * 3 * 4 * 6, dtype=torch.int32).remainder(251).to(torch.uint8).view(5, 3, 4, 6)
    given = images.contiguous(memory_format=memory_format)
    assert torch.equal(apply_policy(given, lambda image: image), images)
    assert torch.equal(apply_policy(given, ImageOps.mirror), images.flip(-1))
    assert torch.equal(given, images)


def test_tables_in_a_row_are_one_table():
    image = pictures()[0]
    halved, inverted = bytes(value // 2 for value in VALUES), bytes(255 - value for value in VALUES)
    pending = PendingImage(image).add_tables([halved] * 3).add_tables([inverted, VALUES, halved])
    expected = np.asarray(image) // 2
    expected[..., 0] = 255 - expected[..., 0]
    expected[..., 2] //= 2
    np.testing.assert_array_equal(np.asarray(pending.pixels()), expected)
    planes = [np.frombuffer(plane, np.uint8) for plane in pending.planes()]
    np.testing.assert_array_equal(np.stack(planes, 1), expected.reshape(-1, 3))
    counted = np.stack([np.bincount(expected[..., channel].ravel(), minlength=256) for channel in range(3)])
    np.testing.assert_array_equal(pending.histogram(), counted)


def test_autocontrast_and_equalize_tables_by_hand():
    """Values 100 and 151 become 0 and 255; of three values with 510, 255 and 255 pixels, one step of 3 pixels each."""
    two = np.zeros((3, 256), int)
    two[:, [100, 151]] = 1
    assert [autocontrast_tables(two)[0][value] for value in (100, 120, 151)] == [0, 100, 255]
    three = np.zeros((3, 256), int)
    three[:, [10, 20, 30]] = [510, 255, 255]
    assert [equalize_tables(three)[2][value] for value in (10, 20, 30)] == [0, 170, 255]


@pytest.mark.parametrize("factor", [0.0, 0.1, 1.0, 1.9])
def test_contrast_as_a_table_is_pillows(factor):
    for image in pictures():
        table = contrast_table(image, factor)
        assert len(table) == RAMP.width
        np.testing.assert_array_equal(image.point(list(table) * 3), ImageEnhance.Contrast(image).enhance(factor))
