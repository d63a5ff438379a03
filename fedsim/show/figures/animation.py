"""Reconstructions of several victims as they emerge, as an animated GIF."""

import io
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageChops

from fedsim.core.errors import DataError
from fedsim.show.figures.canvas import Canvas
from fedsim.show.figures.figure import MARGIN, Figure
from fedsim.show.figures.files import replace_file
from fedsim.show.figures.pixels import FloatImage, Pixels, to_pixels
from fedsim.show.figures.text import LINE_HEIGHT

HOLD_MS = 2000
"""Display time of the last frame, in milliseconds, before the animation repeats."""

_COLUMNS = 8


@dataclass(frozen=True)
class Emergence:
    """Emergence of one victim's reconstruction.

    Attributes:
        original: the private picture, (C, H, W) in [0, 1].
        frames: (evaluation number, reconstruction so far), in any order.
        label: text above the original.
    """

    original: FloatImage
    frames: Sequence[tuple[int, FloatImage]]
    label: str = ""


def animate(
    victims: Sequence[Emergence], path: Path | str, *, scale: int = 4, frame_ms: int = 120
) -> None:
    """Write an animated GIF: originals above, the emerging reconstructions below.

    There is one frame for each evaluation number that any victim has; a victim without it shows its
    latest earlier frame, or an empty box. The last frame stays for ``HOLD_MS``, then the animation
    repeats. More than eight victims continue in a further band. The same input gives the same
    bytes.

    Grey pictures are exact; colours are reduced to 256 per frame.

    Args:
        victims: the victims to show side by side.
        path: the file to write atomically; its folder must exist.
        scale: the side in pixels of one pixel of a picture.
        frame_ms: display time of each frame in milliseconds, rounded to GIF's steps of 10 ms.

    Raises:
        DataError: there is no frame, or an array is not a picture.
        OSError: the file cannot be written.
    """
    steps = sorted({number for victim in victims for number, _ in victim.frames})
    if not steps:
        raise DataError("no frames for an animation: expected a victim with at least one")
    films = [_Film.of(victim) for victim in victims]
    frames = (_reduce(_page(films, step, scale)) for step in steps)
    buffer = io.BytesIO()
    next(frames).save(
        buffer,
        format="GIF",
        save_all=True,
        append_images=frames,
        duration=[frame_ms] * (len(steps) - 1) + [HOLD_MS],
        loop=0,
    )
    replace_file(path, buffer.getvalue())


@dataclass(frozen=True)
class _Film:
    original: Pixels
    numbers: list[int]
    pictures: list[Pixels]
    label: str

    @classmethod
    def of(cls, victim: Emergence) -> "_Film":
        frames = sorted(victim.frames, key=lambda frame: frame[0])
        return cls(
            to_pixels(victim.original),
            [number for number, _ in frames],
            [to_pixels(image) for _, image in frames],
            victim.label,
        )

    def at(self, step: int) -> Pixels | None:
        past = bisect_right(self.numbers, step)
        return self.pictures[past - 1] if past else None


def _page(films: Sequence[_Film], step: int, scale: int) -> Image.Image:
    bands = [_band(films[i : i + _COLUMNS], step, scale) for i in range(0, len(films), _COLUMNS)]
    width = max(band.width for band in bands)
    canvas = Canvas(width, sum(band.height for band in bands) + LINE_HEIGHT + MARGIN)
    top = 0
    for band in bands:
        canvas.page.paste(band, (0, top))
        top += band.height
    canvas.text([f"evaluation {step}"], 0, top, width)
    return canvas.page


def _band(films: Sequence[_Film], step: int, scale: int) -> Image.Image:
    labels = [film.label for film in films]
    return Figure(
        [[film.original for film in films], [film.at(step) for film in films]],
        row_labels=["original", "reconstruction"],
        column_labels=labels if any(labels) else (),
        scale=scale,
        missing="not yet",
    ).draw()


def _reduce(page: Image.Image) -> Image.Image:
    """Return a page with the at most 256 colours of a GIF, exact for grey pages."""
    grey = page.convert("L")
    if ImageChops.difference(page, grey.convert("RGB")).getbbox() is None:
        return grey
    return page.quantize(256, dither=Image.Dither.NONE)
