"""Picture files that are there whole or not at all."""

import io
import secrets
from pathlib import Path

from PIL import Image

from fedsim.show.figures.pixels import FloatImage, enlarge, to_pixels


def save_png(image: FloatImage | Image.Image, path: Path | str, scale: int = 1) -> None:
    """Write a picture as PNG, replacing what was there only once it is complete.

    Args:
        image: (C, H, W) in [0, 1], or a figure from ``grid`` or ``strip``.
        path: its folder must exist.
        scale: the side in pixels of one pixel of the picture; a figure is written as it is.

    Raises:
        DataError: the array is no picture.
        OSError: the file cannot be written.
    """
    figure = image if isinstance(image, Image.Image) else enlarge(to_pixels(image), scale)
    buffer = io.BytesIO()
    figure.save(buffer, format="PNG", optimize=True)
    replace_file(path, buffer.getvalue())


def replace_file(path: Path | str, content: bytes) -> None:
    """Write a file beside ``path``, then put it in its place in one step.

    Raises:
        OSError: the file cannot be written; what was at ``path`` is untouched.
    """
    target = Path(path)
    part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        part.write_bytes(content)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
