"""Words beside and above the pictures of a grid."""

import functools
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from PIL import Image, ImageColor, ImageDraw, ImageFont

from modules.shared import opts

SMALLEST = 11
"""Pixels: smaller letters cannot be read. The WebUI's are a twelfth of a picture's side, however small."""

TEXT = "#000000"


class GridAnnotation:
    """A line of a legend."""

    def __init__(self, text: Any = "", is_active: bool = True) -> None:
        self.text = str(text)
        self.is_active = is_active


@functools.cache
def get_font(size: int) -> Any:
    """A font of this size in pixels: matplotlib's, which comes with gradio."""
    spec = find_spec("matplotlib")
    if spec is None or spec.origin is None:
        return ImageFont.load_default()
    return ImageFont.truetype(str(Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"), size)


def _pieces(text: str, font: Any, width: int) -> list[str]:
    """The text in lines of this width; words that are longer than a line are cut."""
    lines = [""]
    for word in text.split():
        joined = f"{lines[-1]} {word}".strip()
        if font.getlength(joined) <= width:
            lines[-1] = joined
            continue
        if lines[-1]:
            lines.append("")
        for letter in word:
            if lines[-1] and font.getlength(lines[-1] + letter) > width:
                lines.append("")
            lines[-1] += letter
    return lines


def draw_grid_annotations(
    im: Image.Image,
    width: int,
    height: int,
    hor_texts: list[list[GridAnnotation]],
    ver_texts: list[list[GridAnnotation]],
    margin: int = 0,
) -> Image.Image:
    """A grid of pictures of this size with a text above each column and one left of each row.

    Raises:
        ValueError: there is not one text for each column and row.
    """
    columns, rows = im.width // width, im.height // height
    if (columns, rows) != (len(hor_texts), len(ver_texts)):
        raise ValueError(f"{len(hor_texts)} and {len(ver_texts)} texts for {columns} columns and {rows} rows")
    size = max(SMALLEST, (width + height) // 25)
    font, line = get_font(size), size * 3 // 2
    left = width * 3 // 4 if any(each.text for texts in ver_texts for each in texts) else 0
    above = [[part for each in texts for part in _pieces(each.text, font, width)] for texts in hor_texts]
    beside = [[part for each in texts for part in _pieces(each.text, font, left)] for texts in ver_texts]
    top = max(len(lines) for lines in above) * line + line if any(map(any, above)) else 0
    result = Image.new(
        "RGB",
        (left + im.width + margin * (columns - 1), top + im.height + margin * (rows - 1)),
        ImageColor.getcolor(opts.grid_background_color, "RGB"),
    )
    for row in range(rows):
        for column in range(columns):
            x, y = column * width, row * height
            cell = im.crop((x, y, x + width, y + height))
            result.paste(cell, (left + x + margin * column, top + y + margin * row))
    draw = ImageDraw.Draw(result)
    for column, lines in enumerate(above):
        _write(draw, (left + column * (width + margin) + width // 2, top // 2), lines, font, line)
    for row, lines in enumerate(beside):
        fits = min(line, height // len(lines))  # closer together rather than into the next row
        _write(draw, (left // 2, top + row * (height + margin) + height // 2), lines, font, fits)
    return result


def _write(draw: Any, centre: tuple[int, int], lines: list[str], font: Any, line_height: int) -> None:
    x, y = centre
    for number, text in enumerate(lines):
        place = (x, y + (number - (len(lines) - 1) / 2) * line_height)
        draw.text(place, text, font=font, fill=TEXT, anchor="mm")
