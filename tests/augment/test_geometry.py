import numpy as np
import torch

from raysearch.augment import random_crop, random_flip
from raysearch.augment.geometry import random_resized_crop


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def noise(batch, size=6):
    return torch.randint(0, 256, (batch, 3, size, size), generator=seeded(9), dtype=torch.uint8)


def test_every_crop_is_a_window_of_the_reflect_padded_image_and_all_windows_occur():
    images, padding = noise(200), 1
    offsets = set()
    for image, crop in zip(images.numpy(), random_crop(images, padding, seeded()).numpy(), strict=True):
        padded = np.pad(image, ((0, 0), (padding, padding), (padding, padding)), mode="reflect")
        windows = {(top, left): padded[:, top : top + 6, left : left + 6] for top in range(3) for left in range(3)}
        found = [offset for offset, window in windows.items() if np.array_equal(window, crop)]
        assert found, "not a window of its own image"
        offsets |= set(found)
    assert len(offsets) == 9


def test_a_crop_of_padding_zero_is_the_image():
    images = noise(4)
    assert torch.equal(random_crop(images, 0, seeded()), images)


def test_a_flip_of_probability_zero_is_the_image_and_of_one_its_mirror():
    images = noise(4)
    assert torch.equal(random_flip(images, 0.0, seeded()), images)
    assert np.array_equal(random_flip(images, 1.0, seeded()).numpy(), images.numpy()[:, :, :, ::-1])


def test_images_are_flipped_one_by_one_at_the_given_rate():
    images = noise(2000, size=2)
    flipped = random_flip(images, 0.25, seeded())
    is_flipped = (flipped == images.flip(-1)).flatten(1).all(1)
    assert (is_flipped | (flipped == images).flatten(1).all(1)).all()
    assert 0.2 < is_flipped.float().mean() < 0.3


def test_a_resized_crop_of_the_whole_area_keeps_the_images_size_and_mean():
    images = noise(3, size=16)
    crops = random_resized_crop(images, 0.99)
    assert crops.shape == images.shape
    assert crops.dtype == torch.uint8
    assert abs(crops.float().mean() - images.float().mean()) < 5
