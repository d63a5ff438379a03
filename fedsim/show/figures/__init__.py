"""Drawing of pictures: in a terminal, as figures and as animations; does not load torch."""

from fedsim.show.figures.animation import Emergence, animate
from fedsim.show.figures.files import save_png
from fedsim.show.figures.grids import grid, strip
from fedsim.show.figures.halfblocks import HalfBlocks
from fedsim.show.figures.rows import FittedRow, Picture, PictureRow

__all__ = [
    "Emergence",
    "FittedRow",
    "HalfBlocks",
    "Picture",
    "PictureRow",
    "animate",
    "grid",
    "save_png",
    "strip",
]
