"""View of pictures in reports and terminals."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, cast

from fedsim.log.run import Run
from fedsim.log.schema import LeakageRecord, Meaning, ReconstructionRecord
from fedsim.log.victims import Look
from fedsim.modalities.pictures.beside import beside
from fedsim.modalities.pictures.cards import picture_cards
from fedsim.modalities.pictures.compared import compare_pictures, draw_grid
from fedsim.modalities.pictures.measure import PSNR
from fedsim.show.figures import FittedRow, Picture
from fedsim.show.figures.pixels import FloatImage
from fedsim.show.report.images import data_uri
from fedsim.show.report.victims.cards import Card
from fedsim.show.report.victims.compared import Compared, Step
from fedsim.show.terminal.table import STYLES
from fedsim.show.view import Chosen, Frame, View

SMALLEST, LARGEST = 12, 96
"""Widths of a picture in a terminal, in characters."""

LEFT_OUT_LINES = 2
"""Lines of the number of pictures that do not fit, and above it."""

_THUMBNAIL = 48


class PictureView(View):
    """View of pictures, (C, H, W) in [0, 1]."""

    noun = ("picture", "pictures")
    template = "pictures/card.html"
    compared_template = "pictures/compared.html"
    thumbnail_template = "pictures/thumbnail.html"
    columns: ClassVar[tuple[str, ...]] = ("psnr", "ssim")

    def cards(self, run: Run) -> list[Card]:
        """Return a card for each attacked picture."""
        return picture_cards(run)

    def compared(
        self, label: str, stage: str, server_round: int, steps: Sequence[Step]
    ) -> Compared | None:
        """Return the same picture under a defense at all strengths, or None."""
        return compare_pictures(label, stage, server_round, steps)

    def thumbnail(
        self, run: Run, leakage: LeakageRecord, found: ReconstructionRecord
    ) -> tuple[str, str] | None:
        """Return a private picture and its reconstruction as small data URIs."""
        arrays = run.arrays(found.tensors)
        if arrays is None or "matching" not in arrays or "reconstruction" not in arrays:
            return None
        rebuilt = arrays["reconstruction"][arrays["matching"][leakage.score.example]]
        shown = beside(arrays, leakage.score.example)
        if shown is None:
            return None
        return data_uri(shown[0], _THUMBNAIL), data_uri(rebuilt, _THUMBNAIL)

    def same_victim(self, found: Sequence[Look], stem: Path) -> list[Path]:
        """Write a private picture and its reconstruction under each defense as one PNG."""
        return draw_grid(found, stem)

    def gallery(self, run: Run, chosen: Sequence[Chosen]) -> FittedRow | None:
        """Return pairs of private pictures and reconstructions."""
        pictures = [picture for one in chosen for picture in _pair(run, one)]
        if not pictures:
            return None
        return FittedRow(pictures, smallest=SMALLEST, largest=LARGEST, gap=1, together=2)

    def frames(self, frames: Sequence[Frame], width: int, height: int) -> FittedRow:
        """Return the pictures as large as all of them fit.

        If they do not fit at the smallest width, those under attack come first, as large as these
        fit.
        """
        tiles = _tiles(frames)
        largest = FittedRow(tiles, smallest=SMALLEST, largest=LARGEST, lines=height)
        if largest.fits(width, height):
            return largest
        first = sorted(frames, key=lambda f: not f.running)
        running = _tiles([frame for frame in first if frame.running])
        fitted = FittedRow(running, smallest=SMALLEST, largest=LARGEST)
        size = fitted.fits(width, height - LEFT_OUT_LINES) if running else None
        columns = SMALLEST if size is None else size
        return FittedRow(_tiles(first), smallest=columns, largest=columns, lines=height)


def _tiles(frames: Sequence[Frame]) -> list[Picture]:
    return [
        Picture(cast("FloatImage", f.found), f"{f.title}\n{f.attacker}\n{f.note}", f.style)
        for f in frames
    ]


def _pair(run: Run, one: Chosen) -> list[Picture]:
    arrays, score = run.arrays(one.found.tensors), one.leakage.score
    if arrays is None:
        return []
    shown = beside(arrays, score.example)
    if shown is None:
        return []
    private, caption = shown
    figure = score.figure(PSNR)
    compared = figure is not None or score.meaning is Meaning.NOT_COMPARED
    if "reconstruction" not in arrays or "matching" not in arrays or not compared:
        return [
            Picture(private, f"{one.name}\n{caption}"),
            Picture(private * 0, "\nattack failed"),
        ]
    rebuilt: FloatImage = arrays["reconstruction"][arrays["matching"][score.example]]
    said = "" if figure is None else PSNR.show(figure)
    return [
        Picture(private, f"{one.name}\n{caption}"),
        Picture(rebuilt, f"{score.meaning}\n{said}", STYLES[score.meaning]),
    ]
