"""Layout of a figure with pictures in rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

from PIL import Image

from fedsim.core.errors import DataError
from fedsim.show.figures.canvas import Canvas
from fedsim.show.figures.pixels import Pixels, enlarge
from fedsim.show.figures.text import LINE_HEIGHT, legible, width_of, wrap

MARGIN = 14
GAP = 12

_LEAST_WIDTH = 64
_LEAST_HEIGHT = 24
_ROW_LABEL_WIDTH = 150
_LABEL_LINES = 3
_CAPTION_LINES = 2
_CAPTION_GAP = 6


@dataclass(frozen=True)
class Figure:
    """Contents of a figure; all cells are as large as its largest picture.

    Attributes:
        rows: pixels, or None for a missing picture; rows may differ in length.
        row_labels: one for each row, or empty.
        column_labels: one for each column, or empty.
        captions: one for each picture, or empty.
        scale: the side in pixels of one pixel of a picture.
        missing: text in the box for a missing picture.
        framed_last: whether the very last picture has a black frame.
    """

    rows: Sequence[Sequence[Pixels | None]]
    row_labels: Sequence[str] = ()
    column_labels: Sequence[str] = ()
    captions: Sequence[Sequence[str]] = ()
    scale: int = 3
    missing: str = "no picture"
    framed_last: bool = False

    def draw(self) -> Image.Image:
        """Return the figure on a white page.

        Raises:
            DataError: there is nothing to draw, or labels and pictures differ in number.
        """
        self._check()
        right, bottom = self._left(self._columns), self._top(len(self.rows))
        canvas = Canvas(right - GAP + MARGIN, bottom - GAP + MARGIN)
        self._draw_labels(canvas)
        for i, row in enumerate(self.rows):
            for j, pixels in enumerate(row):
                is_last = i + 1 == len(self.rows) and j + 1 == len(row)
                self._draw_picture(canvas, pixels, (i, j), framed=self.framed_last and is_last)
        for i, captions in enumerate(self._captions):
            for j, lines in enumerate(captions):
                top = self._top(i) + self._height + _CAPTION_GAP
                canvas.text(lines, self._left(j), top, self._width)
        return canvas.page

    def _check(self) -> None:
        if not self._columns:
            raise DataError("no pictures for a figure: expected at least one row with one picture")
        counts = [
            ("row labels", self.row_labels, len(self.rows)),
            ("column labels", self.column_labels, self._columns),
            ("rows of captions", self.captions, len(self.rows)),
        ]
        for row, captions in zip(self.rows, self.captions, strict=False):
            counts.append(("captions in a row", captions, len(row)))
        for name, given, expected in counts:
            if given and len(given) != expected:
                raise DataError(f"{len(given)} {name} given: expected {expected}, or none")

    def _draw_labels(self, canvas: Canvas) -> None:
        for j, lines in enumerate(self._column_labels):
            # Short labels are placed next to their pictures, not at the page's top.
            top = MARGIN + (self._header_lines - len(lines)) * LINE_HEIGHT
            canvas.text(lines, self._left(j), top, self._width)
        for i, text in enumerate(self.row_labels):
            lines = wrap(text, self._label_width, self._height // LINE_HEIGHT)
            top = self._top(i) + (self._height - len(lines) * LINE_HEIGHT) // 2
            canvas.text(lines, MARGIN, top, self._label_width, align_right=True)

    def _draw_picture(
        self, canvas: Canvas, pixels: Pixels | None, cell: tuple[int, int], *, framed: bool
    ) -> None:
        left, top = self._left(cell[1]), self._top(cell[0])
        if pixels is None:
            canvas.missing(self.missing, left, top, (self._width, self._height))
            return
        picture = enlarge(pixels, self.scale)
        left += (self._width - picture.width) // 2
        top += (self._height - picture.height) // 2
        canvas.picture(picture, left, top, framed=framed)

    def _left(self, column: int) -> int:
        labels = self._label_width + GAP if self.row_labels else 0
        return MARGIN + labels + column * (self._width + GAP)

    def _top(self, row: int) -> int:
        header = self._header_lines * LINE_HEIGHT + LINE_HEIGHT // 2 if self.column_labels else 0
        most_lines = max(map(len, chain.from_iterable(self._captions)), default=0)
        captions = most_lines * LINE_HEIGHT + _CAPTION_GAP if most_lines else 0
        return MARGIN + header + row * (self._height + captions + GAP)

    @cached_property
    def _columns(self) -> int:
        return max(map(len, self.rows), default=0)

    @cached_property
    def _width(self) -> int:
        widths: list[int] = [pixels.shape[1] * self.scale for pixels in self._present]
        return max([_LEAST_WIDTH, *widths])

    @cached_property
    def _height(self) -> int:
        heights: list[int] = [pixels.shape[0] * self.scale for pixels in self._present]
        return max([_LEAST_HEIGHT, *heights])

    @cached_property
    def _present(self) -> list[Pixels]:
        return [pixels for row in self.rows for pixels in row if pixels is not None]

    @cached_property
    def _label_width(self) -> int:
        widths = [width_of(line) for text in self.row_labels for line in legible(text).split("\n")]
        return min(_ROW_LABEL_WIDTH, max(widths, default=0))

    @cached_property
    def _column_labels(self) -> list[list[str]]:
        return [wrap(text, self._width, _LABEL_LINES) for text in self.column_labels]

    @cached_property
    def _header_lines(self) -> int:
        return max(map(len, self._column_labels), default=0)

    @cached_property
    def _captions(self) -> list[list[list[str]]]:
        return [[wrap(t, self._width, _CAPTION_LINES) for t in row] for row in self.captions]
