"""Preprocessing, and reading loose image files."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from raysearch.data.images import find_images, prepare_image
from raysearch.errors import DataError


def solid(mode: str, colour: object, size: tuple[int, int] = (8, 8)) -> Image.Image:
    return Image.new(mode, size, colour)


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (solid("RGB", (10, 20, 30)), (10, 20, 30)),
        (solid("L", 77), (77, 77, 77)),
        (solid("1", 1), (255, 255, 255)),
        (solid("CMYK", (0, 255, 255, 0)), (255, 0, 0)),
        (solid("RGBA", (200, 0, 0, 0)), (255, 255, 255)),
        (solid("RGBA", (255, 0, 0, 51)), (255, 204, 204)),
        (solid("LA", (100, 255)), (100, 100, 100)),
        (solid("LA", (100, 0)), (255, 255, 255)),
        (solid("I", 65535), (255, 255, 255)),
        (solid("I", 257 * 40), (40, 40, 40)),
    ],
)
def test_every_mode_becomes_rgb_of_the_right_colour(image: Image.Image, expected: tuple[int, ...]) -> None:
    prepared = prepare_image(image, 8)
    assert prepared.dtype == np.uint8
    assert (prepared == np.array(expected)).all()


def test_sixteen_bit_grey_keeps_its_gradient(tmp_path: Path) -> None:
    levels = np.arange(64, dtype=np.uint16).reshape(8, 8) * 1028
    Image.fromarray(levels).save(tmp_path / "grey.png")
    with Image.open(tmp_path / "grey.png") as image:
        assert image.mode.startswith("I")
        np.testing.assert_array_equal(prepare_image(image, 8)[..., 0], levels // 257)


def test_a_transparent_palette_colour_is_white(tmp_path: Path) -> None:
    image = solid("P", 1)
    image.putpalette([0, 0, 0, 255, 0, 0])
    image.save(tmp_path / "palette.png", transparency=1)
    with Image.open(tmp_path / "palette.png") as stored:
        assert (prepare_image(stored, 8) == 255).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_turned_upright(tmp_path: Path, orientation: int) -> None:
    upright = np.random.default_rng(1).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    stored = {  # how a camera stores the upright picture under each orientation
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    for suffix in ("png", "tif"):
        Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / f"o.{suffix}", exif=exif)
        with Image.open(tmp_path / f"o.{suffix}") as image:
            np.testing.assert_array_equal(prepare_image(image, 6), upright)


def test_malformed_exif_is_ignored(tmp_path: Path) -> None:
    solid("RGB", (9, 9, 9)).save(tmp_path / "a.png", exif=b"Exif\0\0no such thing")
    with Image.open(tmp_path / "a.png") as image:
        assert (prepare_image(image, 8) == 9).all()


def test_the_first_frame_of_an_animation_counts(tmp_path: Path) -> None:
    frames = [solid("RGB", (255, 0, 0)), solid("RGB", (0, 255, 0))]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    with Image.open(tmp_path / "a.gif") as image:
        assert (prepare_image(image, 8) == (255, 0, 0)).all()


def test_the_centre_square_is_kept() -> None:
    pixels = np.zeros((8, 24, 3), np.uint8)
    pixels[:, 8:16] = 200
    assert (prepare_image(Image.fromarray(pixels), 8) == 200).all()
    assert (prepare_image(Image.fromarray(pixels.transpose(1, 0, 2)), 8) == 200).all()


def test_an_image_of_the_right_size_keeps_its_pixels() -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    np.testing.assert_array_equal(prepare_image(Image.fromarray(pixels), 16), pixels)


def test_shrinking_averages_instead_of_picking_pixels() -> None:
    checkers = np.indices((64, 64)).sum(0) % 2 * 255
    prepared = prepare_image(Image.fromarray(checkers.astype(np.uint8)), 8)
    assert np.abs(prepared.astype(int) - 127).max() <= 2


@pytest.mark.parametrize("size", [(1, 1), (400, 3), (30000, 2)])
def test_odd_shapes_are_handled(size: tuple[int, int]) -> None:
    assert (prepare_image(solid("RGB", (5, 6, 7), size), 32) == (5, 6, 7)).all()


def test_images_below_a_folder_are_found_in_order_without_hidden_ones(make_images: Callable[..., Path]) -> None:
    root = make_images("b/2.png", "b/nested/3.png", "a.png", ".hidden/x.png", "b/.x.png")
    (root / "notes.txt").write_text("no image")
    paths = find_images(root)
    assert [path.relative_to(root).as_posix() for path in paths] == ["a.png", "b/2.png", "b/nested/3.png"]


def test_nothing_to_find_is_an_error_with_the_nearest_name(make_images: Callable[..., Path]) -> None:
    root = make_images("pictures/a.png", "empty/.hidden.png")
    with pytest.raises(DataError, match="did you mean 'pictures'"):
        find_images(root / "pictres")
    with pytest.raises(DataError, match="no images"):
        find_images(root / "empty")


def test_a_circular_link_is_a_fault(make_images: Callable[..., Path]) -> None:
    root = make_images("a/x.png")
    (root / "a" / "up").symlink_to(root)
    with pytest.raises(DataError, match="a link to a folder above itself"):
        find_images(root)
