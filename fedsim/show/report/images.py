"""Pictures embedded in a page: small PNGs, and strips of frames."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from fedsim.show.figures.pixels import FloatImage, Pixels, shrink, to_pixels

STRIPS_BUDGET = 24 * 2**20
"""Approximate limit for the bytes of all frames of a page; victims have fewer frames beyond it."""

STILLS_BUDGET = 24 * 2**20
"""Approximate limit for the bytes of all other pictures of a page; they are smaller beyond it."""

FEWEST_FRAMES = 4
SMALLEST_SIDE = 28
_BASE64 = 4 / 3


def data_uri(image: FloatImage, side: int) -> str:
    """Return a picture, (C, H, W) in [0, 1], as a PNG in a data URI.

    Args:
        image: the picture.
        side: maximum width in pixels; a wider picture is averaged down.
    """
    return f"data:image/png;base64,{_encoded(shrink(to_pixels(image), side))}"


def strip(images: Sequence[FloatImage], side: int) -> str:
    """Return pictures of equal size side by side, as the base64 text of one PNG."""
    return _encoded(np.concatenate([shrink(to_pixels(i), side) for i in images], axis=1))


def evenly(count: int, most: int) -> list[int]:
    """Return at most ``most`` of ``count`` indices, evenly spaced, including first and last."""
    if count <= most:
        return list(range(count))
    return [round(i * (count - 1) / (most - 1)) for i in range(most)]


def largest_side(pictures: int, shape: Sequence[int]) -> int:
    """Return the side in pixels at which a number of pictures ``(C, H, W)`` fits the budget."""
    channels, _, width = shape
    fits = (STILLS_BUDGET / max(1, pictures) / channels / _BASE64) ** 0.5
    return int(min(width, max(SMALLEST_SIDE, fits)))


def most_frames(strips: int, shape: Sequence[int], side: int) -> int:
    """Return the number of frames of each of several strips of pictures ``(C, H, W)``."""
    channels, height, width = shape
    weight = channels * height * width * (side / width) ** 2 * _BASE64
    return max(FEWEST_FRAMES, int(STRIPS_BUDGET / max(1, strips) / weight))


def _encoded(pixels: Pixels) -> str:
    grey = bool((pixels == pixels[..., :1]).all())
    picture = Image.fromarray(pixels[..., 0] if grey else pixels)
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode("ascii")
