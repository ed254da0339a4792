"""Draws the picture: one column per image, one labelled row per operation."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from raysearch.preview.rows import Row

TILE, GAP, NAMES, HEADER, LINE = 128, 6, 190, 34, 17
"""In pixels: side of an image, gap between images, width of row names, height of the title and of a caption line."""
INK, FAINT, RULE, PAPER = "#1b1b1b", "#6b6b6b", "#c9c9c9", "white"


def pick_samples(labels: np.ndarray, count: int) -> np.ndarray:
    """Indices of up to ``count`` samples from as many classes as possible: int64 [count], sorted by class."""
    number = int(labels.max()) + 1
    classes = np.linspace(0, number - 1, min(count, number)).round().astype(int)
    by_class = [np.flatnonzero(labels == label) for label in classes]
    # The first sample of every class, then the second of every class, and so on.
    in_turn = sorted((index, label) for label, samples in enumerate(by_class) for index in range(len(samples)))[:count]
    return np.array([by_class[label][index] for index, label in sorted(in_turn, key=lambda item: item[1])])


def draw_sheet(rows: Sequence[Row], title: str) -> Image.Image:
    """All ``rows`` below ``title``, with a line between the views."""
    font = ImageFont.load_default(13)
    captions = [[_wrapped(caption, font) for caption in row.captions] for row in rows]
    heights = [TILE + GAP + LINE * max(map(len, lines), default=0) for lines in captions]
    size = (NAMES + len(rows[0].images) * (TILE + GAP) + GAP, HEADER + sum(heights) + GAP * len(rows))
    sheet = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((GAP, HEADER // 2), title, INK, font, anchor="lm")
    top = HEADER
    for number, (row, lines, height) in enumerate(zip(rows, captions, heights, strict=True)):
        if number and _view_of(row) != _view_of(rows[number - 1]):
            draw.line([(0, top - GAP // 2 - 1), (size[0], top - GAP // 2 - 1)], RULE, 2)
        _draw_row(sheet, draw, row, lines, top, font)
        top += height + GAP
    return sheet


def _draw_row(
    sheet: Image.Image,
    draw: ImageDraw.ImageDraw,
    row: Row,
    captions: Sequence[Sequence[str]],
    top: int,
    font: ImageFont.ImageFont | ImageFont.FreeTypeFont,
) -> None:
    view, _, operation = row.name.rpartition(": ")
    draw.text((GAP, top + TILE // 2 - 9), view, FAINT, font, anchor="lm")
    draw.text((GAP, top + TILE // 2 + 9), operation, INK, font, anchor="lm")
    for column, pixels in enumerate(row.images):
        left = NAMES + column * (TILE + GAP)
        image = _tile(pixels)
        sheet.paste(image, (left + (TILE - image.width) // 2, top + (TILE - image.height) // 2))
        for number, line in enumerate(captions[column] if captions else ()):
            place = (left + TILE // 2, top + TILE + GAP // 2 + number * LINE)
            draw.text(place, line, INK, font, anchor="ma")


def _tile(pixels: np.ndarray) -> Image.Image:
    """The image resized to fit a tile. Enlarging uses nearest neighbour, so that single pixels are visible."""
    image = Image.fromarray(pixels)
    share = TILE / max(image.size)
    size = (max(1, round(image.width * share)), max(1, round(image.height * share)))
    return image.resize(size, Image.Resampling.NEAREST if share > 1 else Image.Resampling.BICUBIC)


def _wrapped(text: str, font: ImageFont.ImageFont | ImageFont.FreeTypeFont) -> list[str]:
    """Caption lines that fit a tile: one per class of a mixed target. Long class names are cut."""
    lines = []
    for part in text.split(" / "):
        name, _, share = part.rpartition(" ") if part[-1:].isdigit() and " " in part else (part, "", "")
        while name and font.getlength(f"{name} {share}".rstrip()) > TILE:
            name = f"{name.rstrip('…')[:-1]}…"
        lines.append(f"{name} {share}".rstrip())
    return lines


def _view_of(row: Row) -> str:
    return row.name.rpartition(": ")[0]
