"""Figures of many pictures: grids with labels, and strips of an emerging reconstruction."""

from collections.abc import Sequence

from PIL import Image

from fedsim.show.figures.figure import Figure
from fedsim.show.figures.pixels import FloatImage, to_pixels

_STRIP_COLUMNS = 10


def grid(
    rows: Sequence[Sequence[FloatImage | None]],
    row_labels: Sequence[str] = (),
    column_labels: Sequence[str] = (),
    scale: int = 3,
    captions: Sequence[Sequence[str]] = (),
) -> Image.Image:
    """Return a figure of pictures in rows, on white, with pixels enlarged to sharp squares.

    Labels are wrapped and cut to the available space and never touch a picture. Characters that
    Pillow's bundled font lacks (it has little beyond ASCII) are replaced by similar ones.

    Args:
        rows: pictures (C, H, W) in [0, 1], of any sizes; None is drawn as a crossed grey box.
            Rows may differ in length.
        row_labels: labels at the left, one for each row, or empty.
        column_labels: labels above, one for each column of the longest row, or empty.
        scale: the side in pixels of one pixel of a picture.
        captions: captions below the pictures, one for each, or empty.

    Raises:
        DataError: there is nothing to draw, an array is not a picture, or the numbers of labels and
            pictures differ.
    """
    return Figure(
        [[None if image is None else to_pixels(image) for image in row] for row in rows],
        row_labels,
        column_labels,
        captions,
        scale,
    ).draw()


def strip(
    frames: Sequence[tuple[FloatImage, str]], original: FloatImage, scale: int = 3
) -> Image.Image:
    """Return a strip of an emerging reconstruction, with the original last, in a black frame.

    The figure of "Deep Leakage from Gradients" (Zhu, Liu, Han, 2019). More than ten pictures
    continue in a further row.

    Args:
        frames: (picture (C, H, W) in [0, 1], caption), in order; the caption is commonly the
            number of evaluations.
        original: the private picture, (C, H, W) in [0, 1].
        scale: the side in pixels of one pixel of a picture.

    Raises:
        DataError: an array is not a picture.
    """
    pictures = [to_pixels(image) for image, _ in frames] + [to_pixels(original)]
    captions = [caption for _, caption in frames] + ["original"]
    starts = range(0, len(pictures), _STRIP_COLUMNS)
    return Figure(
        [pictures[i : i + _STRIP_COLUMNS] for i in starts],
        captions=[captions[i : i + _STRIP_COLUMNS] for i in starts],
        scale=scale,
        framed_last=True,
    ).draw()
