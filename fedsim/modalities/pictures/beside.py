"""The picture beside a reconstruction: the private one, or a blind guess if it is unknown."""

from __future__ import annotations

from fedsim.log.run import Arrays
from fedsim.show.figures.pixels import FloatImage

PRIVATE = "private"
GUESS = "blind guess"


def beside(arrays: Arrays, example: int) -> tuple[FloatImage, str] | None:
    """Return the picture to show beside a reconstruction, and its caption; None if there is none.

    Args:
        arrays: the tensors of a victim.
        example: index in its batch.
    """
    for name, caption in (("original", PRIVATE), ("guess", GUESS)):
        if name in arrays and example < len(arrays[name]):
            picture: FloatImage = arrays[name][example]
            return picture, caption
    return None
