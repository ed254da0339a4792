import pytest
import torch

from raysearch.augment import random_cutout
from raysearch.augment.boxes import Boxes
from raysearch.augment.cutout import cut_out, draw_cutout


def mask(probability=1.0, size=0.5, batch=400, height=32, width=32, seed=0):
    """Where ones became zeros, bool [batch, height, width]."""
    images = torch.ones(batch, 3, height, width)
    cut = random_cutout(images, probability, size, torch.Generator().manual_seed(seed))
    assert (images == 1).all(), "the input was changed"
    assert ((cut == 0) | (cut == 1)).all()
    assert (cut == cut[:, :1]).all(), "not alike in all channels"
    return cut[:, 0] == 0


def test_a_square_by_hand():
    """4 x 3 pixels: rows 1 and 2 of columns 2 and beyond the edge."""
    one = [torch.tensor([place]) for place in (1, 3, 2, 4)]
    cut = cut_out(torch.ones(1, 1, 4, 3), Boxes(*one))
    assert cut[0, 0].tolist() == [[1, 1, 1], [1, 1, 0], [1, 1, 0], [1, 1, 1]]


@pytest.mark.parametrize(("size", "height", "width", "side"), [(0.5, 32, 32, 16), (0.3, 9, 9, 3), (0.5, 12, 20, 6)])
def test_the_side_is_the_share_of_the_images_and_shorter_only_at_an_edge(size, height, width, side):
    is_cut = mask(size=size, height=height, width=width)
    heights, widths = is_cut.any(2).sum(1), is_cut.any(1).sum(1)
    assert torch.equal(is_cut.sum((1, 2)), heights * widths), "not a rectangle"
    assert heights.max() == widths.max() == side
    for sides, edges in ((heights, is_cut[:, [0, -1]].any(2)), (widths, is_cut[:, :, [0, -1]].any(1))):
        assert (sides[sides < side] >= side // 2).all()
        assert edges.any(1)[sides < side].all()


def test_centres_are_uniform_over_the_image():
    boxes = draw_cutout(20_000, 8, 6, 1.0, 1 / 3, torch.Generator().manual_seed(0))
    assert (boxes.bottoms - boxes.tops == 2).all()
    for centres, size in ((boxes.tops + 1, 8), (boxes.lefts + 1, 6)):
        shares = torch.bincount(centres, minlength=size) / 20_000
        assert len(shares) == size
        assert (shares - 1 / size).abs().max() < 0.01


def test_images_are_cut_at_the_given_rate():
    assert 0.25 < mask(0.3, batch=2000, height=8, width=8).flatten(1).any(1).float().mean() < 0.35
