"""The front page's animation: the left column of a run's animation, more slowly.

uv run python docs/crop_animation.py RUN/pictures/round-0001.gif docs/pictures/emerging.gif
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image, ImageSequence

WIDTH = 250
"""Width in pixels of the row labels and one picture."""

FRAME_MS, LAST_MS = 250, 2500


def crop(source: Path, target: Path) -> None:
    """Write the left part of an animation, without the positive control beside it."""
    with Image.open(source) as film:
        box = (0, 0, WIDTH, film.height)
        frames = [frame.convert("RGB").crop(box) for frame in ImageSequence.Iterator(film)]
    times = [FRAME_MS] * (len(frames) - 1) + [LAST_MS]
    frames[0].save(target, save_all=True, append_images=frames[1:], duration=times, loop=0)


if __name__ == "__main__":
    crop(Path(sys.argv[1]), Path(sys.argv[2]))
