"""Several captioned pictures side by side in a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple

from rich.cells import cell_len, chop_cells, set_cell_size
from rich.console import Console, ConsoleOptions, RenderResult
from rich.control import strip_control_codes
from rich.segment import Segment
from rich.style import Style

from fedsim.show.figures.halfblocks import HalfBlocks, Lines
from fedsim.show.figures.pixels import FloatImage

_CAPTION_WIDTH = 12


class Picture(NamedTuple):
    """A picture and its caption.

    Attributes:
        image: (C, H, W) in [0, 1].
        caption: one or several lines, each continued on the next line where it is too wide.
        style: a rich style for the caption.
    """

    image: FloatImage
    caption: str = ""
    style: str | Style = ""


class _Tile(NamedTuple):
    width: int
    picture: Lines
    caption: Lines


class PictureRow:
    """Captioned pictures side by side, as many per row as fit into the console.

    If the number of lines is limited, by ``max_lines`` or by the region of a rich ``Layout``, a
    last line counts the pictures that do not fit: ``+3 more``. At least one row is drawn.

    Args:
        pictures: the pictures to draw, in order; plain tuples are accepted.
        width: maximum number of columns for each picture; None: one per pixel.
        gap: blank columns between pictures.
        max_lines: maximum number of lines of all rows; None: no limit.
        together: number of pictures that stay in one row, such as 2 for pairs, where they fit.

    Raises:
        DataError: an array is not a picture.
    """

    def __init__(
        self,
        pictures: Sequence[Picture | tuple[FloatImage, str, str | Style]],
        *,
        width: int | None = None,
        gap: int = 2,
        max_lines: int | None = None,
        together: int = 1,
    ) -> None:
        self._pictures = [(HalfBlocks(picture[0], width), *picture[1:]) for picture in pictures]
        self._gap = gap
        self._max_lines = max_lines
        self._together = together

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        tiles = list(self._tiles(console, options))
        widths = [tile.width for tile in tiles]
        rows = [tiles[row] for row in _rows(widths, self._gap, options.max_width, self._together)]
        shown = rows[: self._count_that_fit(rows, options.height)]
        for i, row in enumerate(shown):
            if i:
                yield Segment.line()
            yield from self._draw(row)
        left_out = len(self._pictures) - sum(map(len, shown))
        if left_out:
            yield Segment(set_cell_size(f"+{left_out} more", options.max_width).rstrip())
            yield Segment.line()

    def _tiles(self, console: Console, options: ConsoleOptions) -> Iterator[_Tile]:
        for picture, text, style in self._pictures:
            drawn = picture.lines(console, options)
            texts = strip_control_codes(text).split("\n") if text else []
            wanted = min(max(map(cell_len, texts), default=0), _CAPTION_WIDTH)
            width = min(max(_columns(drawn[0]), wanted), options.max_width)
            ink = console.get_style(style, default="")
            lines = [part for line in texts for part in _folded(line, width)]
            caption = tuple((Segment(line, ink),) for line in lines)
            yield _Tile(width, drawn, caption)

    def _count_that_fit(self, rows: list[list[_Tile]], height: int | None) -> int:
        limits = [each for each in (height, self._max_lines) if each is not None]
        if not limits:
            return len(rows)
        ends = list(accumulate((sum(_heights(row)) + 1 for row in rows), initial=0))
        # No blank line is needed after the last row, but one for the note if rows are omitted.
        fit = [n for n, end in enumerate(ends) if end - 1 + (n < len(rows)) <= min(limits)]
        return max(1, *fit[-1:])

    def _draw(self, row: list[_Tile]) -> Iterator[Segment]:
        heights = _heights(row)
        columns = [
            _block(tile.picture, tile.width, heights[0])
            + _block(tile.caption, tile.width, heights[1])
            for tile in row
        ]
        gap = Segment(" " * self._gap)
        for cells in zip(*columns, strict=True):
            for i, cell in enumerate(cells):
                yield from (gap, *cell) if i else cell
            yield Segment.line()


class FittedRow:
    """Captioned pictures, as large as all of them fit into the console.

    If they do not fit at the smallest width, those that come first are drawn, and the others are
    counted.

    Args:
        pictures: the pictures, in order; those to draw first if not all of them fit.
        smallest: smallest width of a picture, in columns.
        largest: largest width, in columns; the pixels of a small picture are enlarged.
        gap: blank columns between pictures.
        lines: maximum number of lines; None: the console's, less two for a prompt.
        together: number of pictures that stay in one row, such as 2 for pairs, where they fit.
    """

    def __init__(
        self,
        pictures: Sequence[Picture],
        *,
        smallest: int,
        largest: int,
        gap: int = 2,
        lines: int | None = None,
        together: int = 1,
    ) -> None:
        self._pictures, self._gap, self._lines = pictures, gap, lines
        self._together = together
        self._widths = range(largest, smallest - 1, -1)

    def fits(self, columns: int, lines: int) -> int | None:
        """Return the largest width at which all pictures fit, or None."""
        sizes = [_Size.of(picture) for picture in self._pictures]
        return next((w for w in self._widths if self._height(sizes, w, columns) <= lines), None)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = console.height - 2 if self._lines is None else self._lines
        width = self.fits(options.max_width, lines)
        most = lines if width is None and self._lines is not None else None
        yield PictureRow(
            self._pictures,
            width=self._widths[-1] if width is None else width,
            gap=self._gap,
            max_lines=most,
            together=self._together,
        )

    def _height(self, sizes: Sequence[_Size], width: int, most: int) -> int:
        """Return the lines of all rows, without drawing them."""
        tiles = [size.at(width, most) for size in sizes]
        rows = _rows([columns for columns, _, _ in tiles], self._gap, most, self._together)
        heights = (
            max(lines for _, lines, _ in tiles[row])
            + max(captions for _, _, captions in tiles[row])
            for row in rows
        )
        return sum(heights) + max(0, len(rows) - 1)


class _Size(NamedTuple):
    """Pixels of a picture, and the lines of its caption."""

    rows: int
    columns: int
    caption: list[str]

    @classmethod
    def of(cls, picture: Picture) -> _Size:
        texts = strip_control_codes(picture.caption).split("\n") if picture.caption else []
        return cls(picture.image.shape[-2], picture.image.shape[-1], texts)

    def at(self, width: int, most: int) -> tuple[int, int, int]:
        """Return the columns of a tile, and the lines of its picture and its caption."""
        columns = min(width, most)
        if columns >= self.columns:
            columns = min(columns // self.columns * self.columns, most)
        lines = -(-max(1, round(self.rows * columns / self.columns)) // 2)
        wanted = min(max(map(cell_len, self.caption), default=0), _CAPTION_WIDTH)
        tile = min(max(columns, wanted), most)
        return tile, lines, sum(len(_folded(text, tile)) for text in self.caption)


def _rows(widths: Sequence[int], gap: int, most: int, together: int) -> list[slice]:
    """Return the positions of each row's tiles; a group that is too wide is divided."""
    groups = [widths[first : first + together] for first in range(0, len(widths), together)]
    wide = [sum(group) + gap * (len(group) - 1) for group in groups]
    if together > 1 and max(wide, default=0) > most:
        return _rows(widths, gap, most, 1)
    rows, begin, used = [], 0, 0
    for position, columns in enumerate(wide):
        if used and used + gap + columns > most:
            rows.append(slice(begin, position * together))
            begin, used = position * together, 0
        used += columns + (gap if used else 0)
    return [*rows, slice(begin, len(widths))] if widths else []


def _heights(row: list[_Tile]) -> tuple[int, int]:
    """Return the numbers of lines of a row's pictures and of its captions."""
    return max(len(tile.picture) for tile in row), max(len(tile.caption) for tile in row)


def _block(lines: Lines, width: int, height: int) -> list[tuple[Segment, ...]]:
    """Return lines centred in a column of ``width``, padded below to ``height`` lines."""
    blank = (Segment(" " * width),)
    return [_centred(line, width) for line in lines] + [blank] * (height - len(lines))


def _centred(line: tuple[Segment, ...], width: int) -> tuple[Segment, ...]:
    spare = width - _columns(line)
    if not spare:
        return line
    return (Segment(" " * (spare // 2)), *line, Segment(" " * (spare - spare // 2)))


def _columns(line: tuple[Segment, ...]) -> int:
    return sum(cell_len(segment.text) for segment in line)


def _folded(text: str, width: int) -> list[str]:
    """Return a text as lines of at most ``width`` cells, folded between words if it can be."""
    lines = [""]
    for word in text.split(" "):
        joined = f"{lines[-1]} {word}" if lines[-1] else word
        if cell_len(joined) <= width:
            lines[-1] = joined
            continue
        pieces = chop_cells(word, width)
        lines = [*lines, *pieces] if lines[-1] else [*lines[:-1], *pieces]
    return lines
