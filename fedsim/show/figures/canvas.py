"""A white page with the parts of a figure: pictures, boxes for missing pictures, and text."""

from collections.abc import Sequence

from PIL import Image, ImageDraw

from fedsim.show.figures.text import LINE_HEIGHT, font, width_of, wrap

_INK = (0, 0, 0)
_HAIRLINE = (190, 190, 190)
_BOX = (228, 228, 228)
_BOX_PADDING = 3


class Canvas:
    """A white page.

    Args:
        width: width of the page, in pixels.
        height: height of the page, in pixels.
    """

    def __init__(self, width: int, height: int) -> None:
        self.page = Image.new("RGB", (width, height), "white")
        self._draw = ImageDraw.Draw(self.page)

    def picture(self, picture: Image.Image, left: int, top: int, *, framed: bool = False) -> None:
        """Draw a picture with a thin outline, which separates a white picture from the page.

        Args:
            picture: the picture, drawn unscaled.
            left: left edge of the picture; the outline is outside of it.
            top: top edge of the picture.
            framed: whether to add a black frame, separated from dark pictures by a gap.
        """
        right, bottom = left + picture.width, top + picture.height
        self._draw.rectangle((left - 1, top - 1, right, bottom), outline=_HAIRLINE)
        if framed:
            self._draw.rectangle((left - 5, top - 5, right + 4, bottom + 4), outline=_INK, width=2)
        self.page.paste(picture, (left, top))

    def missing(self, label: str, left: int, top: int, size: tuple[int, int]) -> None:
        """Draw a crossed box of ``size`` (width, height) with the reason for a missing picture."""
        width, height = size
        right, bottom = left + width - 1, top + height - 1
        self._draw.rectangle((left, top, right, bottom), fill=_BOX, outline=_HAIRLINE)
        self._draw.line((left, top, right, bottom), fill=_HAIRLINE)
        self._draw.line((left, bottom, right, top), fill=_HAIRLINE)
        most_lines = max(1, (height - 2 * _BOX_PADDING) // LINE_HEIGHT)
        lines = wrap(label, width - 2 * _BOX_PADDING, most_lines)
        text_height = len(lines) * LINE_HEIGHT
        text_top = top + (height - text_height) // 2
        reach = max(map(width_of, lines)) // 2 + _BOX_PADDING - 1
        middle = left + width // 2
        self._draw.rectangle(
            (middle - reach, text_top, middle + reach, text_top + text_height - 1), fill=_BOX
        )
        self.text(lines, left, text_top, width)

    def text(
        self, lines: Sequence[str], left: int, top: int, width: int, *, align_right: bool = False
    ) -> None:
        """Write lines that fit into ``width`` pixels, centred or right-aligned."""
        for i, line in enumerate(lines):
            spare = width - width_of(line)
            x = left + (spare if align_right else spare // 2)
            self._draw.text((x, top + i * LINE_HEIGHT), line, fill=_INK, font=font())
