import numpy as np
import pytest
import torch

from raysearch.augment.geometry import CropFlip, draw_crop_flip


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def noise(batch, height=6, width=6):
    return torch.randint(0, 256, (batch, 3, height, width), generator=seeded(9), dtype=torch.uint8)


def by_numpy(image, top, left, is_flipped, padding):
    """One image, padded, cropped, flipped: the slow way."""
    _, height, width = image.shape
    padded = np.pad(image, ((0, 0), (padding, padding), (padding, padding)), mode="reflect")
    window = padded[:, top + padding : top + padding + height, left + padding : left + padding + width]
    return window[:, :, ::-1] if is_flipped else window


@pytest.mark.parametrize(("height", "width", "padding"), [(6, 6, 1), (5, 7, 3), (32, 32, 4), (4, 9, 3), (2, 2, 1)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_every_crop_is_the_window_of_the_reflect_padded_image_then_flipped(height, width, padding, layout):
    images = noise(60, height, width).contiguous(memory_format=layout)
    drawn = draw_crop_flip(60, padding, 0.5, seeded())
    crops = drawn.images(images)
    for image, crop, *where in zip(images, crops, drawn.tops, drawn.lefts, drawn.is_flipped, strict=True):
        assert np.array_equal(by_numpy(image.numpy(), *(int(place) for place in where), padding), crop.numpy())


def test_a_crop_by_hand():
    """Row 0 of [[1, 2, 3], [4, 5, 6], [7, 8, 9]] reflected upwards is row 1; column 2 reflected is column 1."""
    image = torch.arange(1, 10, dtype=torch.uint8).view(1, 1, 3, 3)
    drawn = CropFlip(torch.tensor([-1]), torch.tensor([1]), torch.tensor([False]))
    assert drawn.images(image)[0, 0].tolist() == [[5, 6, 5], [2, 3, 2], [5, 6, 5]]
    flipped = CropFlip(torch.tensor([0]), torch.tensor([1]), torch.tensor([True]))
    assert flipped.images(image)[0, 0].tolist() == [[2, 3, 2], [5, 6, 5], [8, 9, 8]]


def test_all_windows_occur_alike():
    drawn = draw_crop_flip(9000, 1, 0.5, seeded())
    counts = torch.bincount((drawn.tops + 1) * 3 + drawn.lefts + 1, minlength=9)
    assert len(counts) == 9
    assert counts.min() > 850
    assert counts.max() < 1150


def test_a_crop_of_padding_zero_that_is_never_flipped_is_the_image():
    images = noise(4)
    assert torch.equal(draw_crop_flip(4, 0, 0.0, seeded()).images(images), images)


def test_a_flip_of_probability_one_is_the_mirror_image():
    images = noise(4)
    assert torch.equal(draw_crop_flip(4, 0, 1.0, seeded()).images(images), images.flip(-1))


def test_images_are_flipped_one_by_one_at_the_given_rate():
    assert 0.2 < draw_crop_flip(2000, 0, 0.25, seeded()).is_flipped.float().mean() < 0.3
