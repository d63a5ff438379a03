"""Pictures in a terminal: two pixels in each character cell.

The upper half block is drawn in the colour of the upper pixel on the colour of the lower one, so
that a 28x28 picture takes 28 columns and 14 lines, and its pixels are nearly square. Without
colours, with 16 of them, which turn a photograph into confetti, or without the block in the
terminal's encoding, a cell is a character whose density is the mean of its two pixels, dense for
bright, for a dark background.
"""

from functools import lru_cache
from itertools import groupby
from typing import TypeAlias

import numpy as np
from rich.color import Color
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.segment import Segment
from rich.style import Style

from fedsim.show.figures.pixels import FloatImage, Pixels, fitted, shrink, to_pixels

UPPER_HALF = "▀"
SHADES = " .:-=+*#%@"

SIXTEEN = ("standard", "windows")
"""Rich's names of the systems of 16 colours."""

Lines: TypeAlias = tuple[tuple[Segment, ...], ...]
"""A drawn picture: the segments of each line, without line ends."""

_NO_PIXEL = -1
_LUMA_PER_MILLE = np.array([299, 587, 114])
# 32 levels for each channel look like 256 on a screen, and greys then share their styles.
_LEVELS = np.rint(np.rint(np.arange(256) * 31 / 255) * 255 / 31).astype(np.int32)


class HalfBlocks:
    """One picture as a rich renderable.

    Args:
        image: (C, H, W) in [0, 1], C 1 or 3; values outside are clipped, NaN is mid-grey.
        width: maximum number of columns; a wider picture is averaged down, and a narrower one is
            enlarged as often as it fits. None: one per pixel. It never takes more than the console
            has.

    Raises:
        DataError: the array is not a picture.
    """

    def __init__(self, image: FloatImage, width: int | None = None) -> None:
        pixels = to_pixels(image)
        self._pixels = pixels if width is None else fitted(pixels, width)

    def lines(self, console: Console, options: ConsoleOptions) -> Lines:
        """Return the picture's lines for a console, all with the drawn picture's width."""
        pixels = shrink(self._pixels, options.max_width)
        few = console.no_color or options.ascii_only or console.color_system in SIXTEEN
        return _draw(pixels.tobytes(), pixels.shape[1], None if few else console.color_system)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for line in self.lines(console, options):
            yield from line
            yield Segment.line()

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        width = min(self._pixels.shape[1], options.max_width)
        return Measurement(width, width)


@lru_cache(maxsize=64)
def _draw(data: bytes, width: int, color_system: str | None) -> Lines:
    """Return the lines of (H, width, 3) bytes; cached, since most pictures of a live view stay."""
    pixels = np.frombuffer(data, np.uint8).reshape(-1, width, 3)
    return _shades(pixels) if color_system is None else _blocks(pixels, color_system)


def _blocks(pixels: Pixels, color_system: str) -> Lines:
    red, green, blue = np.moveaxis(_LEVELS[pixels], 2, 0)
    rows = (red << 16 | green << 8 | blue).tolist()
    if len(rows) % 2:
        rows.append([_NO_PIXEL] * len(rows[0]))
    return tuple(
        tuple(
            Segment(UPPER_HALF * len(list(run)), _style(*cell, color_system))
            for cell, run in groupby(zip(upper, lower, strict=True))
        )
        for upper, lower in zip(rows[::2], rows[1::2], strict=True)
    )


@lru_cache(maxsize=1 << 11)
def _style(upper: int, lower: int, color_system: str) -> Style:
    """Return the style of a cell.

    A rich style keeps the escape codes of the first colour system that it was drawn with, so there
    is one style for each colour system.
    """
    return Style.from_color(_color(upper), None if lower == _NO_PIXEL else _color(lower))


@lru_cache(maxsize=1 << 15)
def _color(packed: int) -> Color:
    return Color.from_rgb(packed >> 16, packed >> 8 & 255, packed & 255)


def _shades(pixels: Pixels) -> Lines:
    luma = pixels @ _LUMA_PER_MILLE
    cells = np.array([luma[y : y + 2].mean(axis=0) for y in range(0, len(luma), 2)])
    ink = (cells * len(SHADES) / 256_000).astype(int)
    return tuple((Segment("".join(SHADES[i] for i in row)),) for row in ink)
