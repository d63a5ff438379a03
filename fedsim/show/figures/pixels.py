"""Conversion of pictures to pixels of a screen or a file."""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fedsim.core.errors import DataError

FloatImage: TypeAlias = NDArray[Any]
"""A picture: (C, H, W) with C 1 or 3, floats in [0, 1]."""

Pixels: TypeAlias = NDArray[np.uint8]
"""A picture ready to draw: (H, W, 3), 0 to 255."""

_MID_GREY = 0.5


def to_pixels(image: FloatImage) -> Pixels:
    """Return a picture as 8-bit RGB, (H, W, 3).

    A picture from a failed attack must still be drawn: values outside [0, 1] are clipped, and
    NaN becomes mid-grey.

    Args:
        image: (C, H, W), C 1 or 3, of any real type.

    Raises:
        DataError: the array has another shape or is empty.
    """
    array = np.asarray(image)
    if array.ndim != 3 or array.shape[0] not in (1, 3) or array.size == 0:
        raise DataError(
            f"cannot draw an array of shape {array.shape}: expected one picture (C, H, W) with 1 "
            "or 3 channels and at least one pixel"
        )
    values = array.astype(np.float64)
    values = np.clip(np.where(np.isnan(values), _MID_GREY, values), 0, 1)
    pixels = np.rint(values * 255).astype(np.uint8).transpose(1, 2, 0)
    return np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))


def shrink(pixels: Pixels, width: int) -> Pixels:
    """Return pixels averaged down to at most ``width`` columns, with the same proportions."""
    height, full_width = pixels.shape[:2]
    if full_width <= width:
        return pixels
    size = (max(1, width), max(1, round(height * width / full_width)))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BOX))


def fitted(pixels: Pixels, width: int) -> Pixels:
    """Return pixels in at most ``width`` columns: averaged down, or each repeated as a square."""
    times = width // pixels.shape[1]
    return pixels.repeat(times, 0).repeat(times, 1) if times > 1 else shrink(pixels, width)


def enlarge(pixels: Pixels, scale: int) -> Image.Image:
    """Return a Pillow picture in which every pixel is a square with a side of ``scale`` pixels."""
    height, width = pixels.shape[:2]
    return Image.fromarray(pixels).resize((width * scale, height * scale), Image.Resampling.NEAREST)
