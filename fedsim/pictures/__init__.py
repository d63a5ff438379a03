"""Pictures for people: in a terminal, as figures and as animations; loads no torch."""

from fedsim.pictures.animation import Emergence, animate
from fedsim.pictures.files import save_png
from fedsim.pictures.grids import grid, strip
from fedsim.pictures.halfblocks import HalfBlocks
from fedsim.pictures.rows import Picture, PictureRow

__all__ = [
    "Emergence",
    "HalfBlocks",
    "Picture",
    "PictureRow",
    "animate",
    "grid",
    "save_png",
    "strip",
]
