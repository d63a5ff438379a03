"""Atomic writing of picture files."""

import io
import secrets
from pathlib import Path

from PIL import Image

from fedsim.show.figures.pixels import FloatImage, enlarge, to_pixels


def save_png(image: FloatImage | Image.Image, path: Path | str, scale: int = 1) -> None:
    """Write a picture as PNG, replacing an existing file only when complete.

    Args:
        image: (C, H, W) in [0, 1], or a figure from ``grid`` or ``strip``.
        path: its folder must exist.
        scale: the side in pixels of one pixel of the picture; a figure is not scaled.

    Raises:
        DataError: the array is not a picture.
        OSError: the file cannot be written.
    """
    figure = image if isinstance(image, Image.Image) else enlarge(to_pixels(image), scale)
    buffer = io.BytesIO()
    figure.save(buffer, format="PNG", optimize=True)
    replace_file(path, buffer.getvalue())


def replace_file(path: Path | str, content: bytes) -> None:
    """Write a temporary file beside ``path``, then move it there in one step.

    Raises:
        OSError: the file cannot be written; an existing file at ``path`` is unchanged.
    """
    target = Path(path)
    part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        part.write_bytes(content)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
