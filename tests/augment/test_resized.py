"""Random resized crops of whole images: torchvision's boxes, torchvision's pixels."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.transforms import v2

from raysearch.augment.resized import ResizedCrops, draw_resized_crops, random_resized_crops


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def photo(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def draw(height, width, batch=2000, smallest=0.25, hflip=0.0, seed=0):
    return draw_resized_crops(np.array([[height, width]] * batch), smallest, hflip, seeded(seed))


def sides(crops):
    return (crops.ends - crops.starts).T


def planes(image):
    return torch.from_numpy(image.copy()).permute(2, 0, 1)


@pytest.mark.parametrize("is_flipped", [False, True])
@pytest.mark.parametrize(("height", "width", "size"), [(256, 341, 224), (60, 40, 64), (40, 300, 32), (3, 400, 16)])
def test_pixels_are_those_of_torchvisions_resized_crop(height, width, size, is_flipped):
    image = photo(height, width)
    drawn = draw(height, width, batch=5)
    crops = ResizedCrops(drawn.starts, drawn.ends, np.full(5, is_flipped)).images([image] * 5, size)
    assert crops.shape == (5, 3, size, size)
    assert crops.dtype == torch.uint8
    for crop, (top, left), (high, wide) in zip(crops, drawn.starts.tolist(), sides(drawn).T.tolist(), strict=True):
        expected = v2.functional.resized_crop(planes(image), top, left, high, wide, [size, size], antialias=True)
        assert torch.equal(crop, expected.flip(-1) if is_flipped else expected)


@settings(max_examples=60, deadline=None)
@given(height=st.integers(1, 500), width=st.integers(1, 500), smallest=st.floats(0.01, 1), seed=st.integers(0, 2**31))
def test_every_box_lies_in_its_image(height, width, smallest, seed):
    crops = draw(height, width, 20, smallest, seed=seed)
    assert (crops.starts >= 0).all()
    assert (crops.ends > crops.starts).all()
    assert (crops.ends <= [height, width]).all()


def test_shares_and_shapes_are_uniform_between_their_bounds():
    heights, widths = sides(draw(2000, 2000, 4000, smallest=0.1))
    shares, shapes = heights * widths / 2000**2, np.log(widths / heights) / np.log(4 / 3)
    assert 0.0995 < shares.min() < 0.12
    assert shapes.min() > -1.01
    assert shapes.max() < 1.01
    # Boxes too large for a square image are drawn anew, which spares the smallest half: areas to (3/4) of the image.
    spared = (shares < 0.7).sum()
    for share in (0.25, 0.4, 0.55):
        expected = spared * (share - 0.1) / 0.6
        assert abs((shares < share).sum() - expected) < 4 * np.sqrt(expected)
    narrow = np.abs(shapes[shares < 0.7])
    assert abs((narrow < 0.5).mean() - 0.5) < 4 * 0.5 / np.sqrt(len(narrow))


def test_boxes_are_distributed_as_torchvisions():
    """Means and deviations of top, left, height and width over 3000 boxes of each."""
    torch.manual_seed(0)
    transform = v2.RandomResizedCrop(8, scale=(0.25, 1.0))
    image = torch.empty(3, 120, 200)
    keys = ("top", "left", "height", "width")
    theirs = np.array(
        [[params[key] for key in keys] for params in (transform.make_params([image]) for _ in range(3000))]
    )
    crops = draw(120, 200, 3000)
    ours = np.concatenate([crops.starts, crops.ends - crops.starts], 1)
    spread = theirs.std(0)
    assert (np.abs(ours.mean(0) - theirs.mean(0)) < 5 * spread * np.sqrt(2 / 3000)).all()
    np.testing.assert_allclose(ours.std(0), spread, rtol=0.1)


@pytest.mark.parametrize(("height", "width"), [(3, 400), (400, 3), (1, 1), (1, 50)])
def test_an_image_of_a_shape_that_no_box_fits_gives_its_middle_as_torchvision(height, width):
    params = v2.RandomResizedCrop(8, scale=(1.0, 1.0)).make_params([torch.empty(3, height, width)])
    crops = draw(height, width, 1, smallest=1.0)
    assert crops.starts.tolist() == [[params["top"], params["left"]]]
    assert sides(crops).T.tolist() == [[params["height"], params["width"]]]


def test_a_whole_square_image_comes_back_as_it_is():
    image = photo(32, 32)
    assert torch.equal(ResizedCrops(*draw_whole(32)).images([image], 32)[0], planes(image))


def draw_whole(size):
    return np.array([[0, 0]]), np.array([[size, size]]), np.array([False])


def test_half_of_the_crops_are_flipped():
    is_flipped = draw(100, 100, 4000, hflip=0.5).is_flipped
    assert 0.46 < is_flipped.mean() < 0.54
    assert not draw(100, 100, hflip=0.0).is_flipped.any()
    assert draw(100, 100, hflip=1.0).is_flipped.all()


def test_the_flip_leaves_the_boxes_as_they_are():
    plain, flipped = draw(90, 70, hflip=0.0), draw(90, 70, hflip=1.0)
    assert (plain.starts == flipped.starts).all()
    assert (plain.ends == flipped.ends).all()


def test_crops_follow_from_the_generator_and_leave_the_images_alone():
    images = [photo(40, 50), photo(33, 20, seed=1)]
    for image in images:
        image.flags.writeable = False  # as those of the cache
    state = torch.get_rng_state()
    first, again = (random_resized_crops(images, 16, 0.25, seeded(3), 0.5) for _ in range(2))
    assert torch.equal(first, again)
    assert torch.equal(torch.get_rng_state(), state)
    generator = seeded(3)
    views = [random_resized_crops(images, 16, 0.25, generator, 0.5) for _ in range(2)]
    assert torch.equal(views[0], first)
    assert not torch.equal(views[1], first)
