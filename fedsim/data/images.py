"""Loading of pictures from the user's disk."""

import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError

from fedsim.core.errors import DataError, FedsimWarning

IMAGE_SUFFIXES = frozenset(
    {".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
)
# An explicit list, because Pillow's other readers include one that starts Ghostscript.
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
USED_RANGE = 0.1
"""Share of the range of 16 bits below which a picture probably has 10 or 12 bits: it is black."""

_NARROW = (
    f"a picture of 16 bits uses less than {USED_RANGE:.0%} of their range, so it is nearly black: "
    "if its values have 10 or 12 bits, scale them to 16"
)
_MODES = {1: "L", 3: "RGB"}
_WITH_ALPHA = ("LA", "La", "PA", "RGBA", "RGBa")
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error)
_BOMB = (Image.DecompressionBombError, Image.DecompressionBombWarning)


def load_image(path: Path, shape: tuple[int, int, int]) -> torch.Tensor:
    """Read a picture as a model's input.

    The picture is rotated by its EXIF orientation, laid on white where it is transparent,
    cropped around its centre to the aspect ratio of ``shape``, and resized.

    Args:
        path: a BMP, GIF (first frame), JPEG, PNG, PPM, TIFF or WebP file.
        shape: channels (1 for grey or 3 for colour), height and width.

    Returns:
        ``(C, H, W)`` float32 in [0, 1].

    Raises:
        DataError: the file is missing, not a picture, broken or too large.
    """
    return read_image(path, shape).to(torch.float32) / 255


def read_image(path: Path, shape: tuple[int, int, int]) -> torch.Tensor:
    """Read a picture as ``(C, H, W)`` uint8, cropped and resized like :func:`load_image`.

    Raises:
        DataError: the file is missing, not a picture, broken or too large.
    """
    channels, height, width = shape
    if channels not in _MODES or height < 1 or width < 1:
        raise DataError(
            f"cannot read {path} as {shape}: expected 1 or 3 channels, and a height and a width "
            "of at least 1."
        )
    opened = _open(path)
    if opened.mode == "F":
        raise DataError(
            f"{path} has floating-point pixels, whose range is unknown: save it with 8 or 16 bits."
        )
    picture = ImageOps.fit(_flat(opened).convert(_MODES[channels]), (width, height))
    return torch.from_numpy(np.array(picture)).reshape(height, width, channels).permute(2, 0, 1)


def _open(path: Path) -> Image.Image:
    if path.is_dir():
        raise DataError(f"{path} is a folder: expected one picture. Name a file in it.")
    if not path.is_file():
        raise DataError(f"there is no file {path}: expected a picture. Check the path.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=_FORMATS) as picture:
                picture.load()
                return ImageOps.exif_transpose(picture)
    except _BOMB as error:
        raise DataError(
            f"{path} has too many pixels to be opened safely ({error}): scale it down first."
        ) from error
    except UnidentifiedImageError as error:
        raise DataError(
            f"{path} is not a picture that fedsim can read: expected one of {', '.join(_FORMATS)}."
        ) from error
    except _BROKEN as error:
        raise DataError(
            f"{path} is a broken or truncated picture ({error}): replace or remove it."
        ) from error


def _flat(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I"):
        # Pillow clips 16-bit greys when it converts them, which turns most of them white.
        grey = np.asarray(picture).astype(np.int64).clip(0, 65535)
        if 0 < grey.max() < USED_RANGE * 65535:
            warnings.warn(_NARROW, FedsimWarning, stacklevel=4)
        return Image.fromarray((grey // 257).astype(np.uint8))
    if picture.mode not in _WITH_ALPHA and "transparency" not in picture.info:
        return picture
    coloured = picture.convert("RGBA")
    white = Image.new("RGBA", coloured.size, "white")
    return Image.alpha_composite(white, coloured)
