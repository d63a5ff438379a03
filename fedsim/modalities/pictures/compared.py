"""The same private picture under a defense at all strengths, and under all defenses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from fedsim.core.errors import RunError
from fedsim.log.reader import inside
from fedsim.log.run import Run
from fedsim.log.victims import Look
from fedsim.modalities.pictures.measure import PSNR
from fedsim.show.figures import grid, save_png
from fedsim.show.figures.pixels import FloatImage
from fedsim.show.report.images import data_uri, strip
from fedsim.show.report.victims.cards import Attacked
from fedsim.show.report.victims.compared import (
    PRIVATE,
    Compared,
    Film,
    Shot,
    Shots,
    Step,
    compare,
    missing,
    said,
)

_SIDE = 96
_MID_GREY = 0.5


@dataclass(frozen=True)
class PictureFilm(Film):
    """Pictures at each strength.

    Attributes:
        final: picture at the last strength, as a data URI.
        strip: all pictures, as the base64 text of a PNG.
    """

    final: str
    strip: str


def compare_pictures(
    label: str, stage: str, server_round: int, steps: Sequence[Step]
) -> Compared | None:
    """Return the same picture under a defense at all strengths, or None."""
    return compare(label, stage, server_round, steps, _shots, _film)


def _shots(run: Run, victim: Attacked) -> Shots[FloatImage]:
    shots: dict[str, Shot[FloatImage]] = {}
    for leakage, reconstruction in victim.pairs:
        arrays = run.arrays(reconstruction.tensors)
        if arrays is None:
            continue
        original: FloatImage = arrays["original"][leakage.score.example]
        shots.setdefault(PRIVATE, Shot(original))
        image = np.full_like(original, _MID_GREY)
        if "matching" in arrays and "reconstruction" in arrays:
            image = arrays["reconstruction"][arrays["matching"][leakage.score.example]]
        shots[leakage.attacker] = Shot(image, said(leakage.score, run.start.measure))
    return shots


def _film(attacker: str, shots: Sequence[Shots[FloatImage]]) -> PictureFilm:
    last = shots[-1].get(attacker, shots[-1][PRIVATE]).shown
    frames: list[Shot[FloatImage]] = []
    for shot in shots:
        nothing = Shot(np.full_like(last, _MID_GREY), missing("no attack at this strength"))
        one = shot.get(attacker, nothing)
        if one.shown.shape != last.shape:
            one = Shot(nothing.shown, missing("different size"))
        frames.append(one)
    return PictureFilm(
        attacker,
        [f.said for f in frames],
        data_uri(frames[-1].shown, _SIDE),
        strip([f.shown for f in frames], _SIDE) if len(frames) > 1 else "",
    )


def draw_grid(found: Sequence[Look], stem: Path) -> list[Path]:
    """Draw a private picture and its reconstruction under each defense.

    Args:
        found: one for each defense and strength, in order.
        stem: the file's path without its ending.

    Returns:
        The path of the PNG.

    Raises:
        RunError: a record names a path outside its run folder, or a file without tensors.
    """
    rows: dict[str, list[FloatImage | None]] = {}
    captions: dict[str, list[str]] = {}
    for look in found:
        original, rebuilt, caption = _pair(look)
        label = look.place.label
        if label not in rows:
            rows[label], captions[label] = [original], ["private"]
        rows[label].append(rebuilt)
        captions[label].append(f"{look.strength}\n{caption}".strip())
    side = max(p.shape[-1] for row in rows.values() for p in row if p is not None)
    figure = grid(
        list(rows.values()),
        row_labels=list(rows),
        captions=list(captions.values()),
        scale=max(1, 84 // side),
    )
    path = stem.with_name(f"{stem.name}.png")
    save_png(figure, path)
    return [path]


def _pair(look: Look) -> tuple[FloatImage, FloatImage | None, str]:
    """Return a private picture, its reconstruction or None, and a caption."""
    try:
        tensors = load_file(inside(look.folder, look.tensors))
    except SafetensorError as error:
        place = look.folder / look.tensors
        raise RunError(f"{place}: not a file of tensors: {error}") from None
    original: FloatImage = tensors["original"][0]
    score = look.leakage.score.figure(PSNR)
    if "reconstruction" not in tensors or score is None:
        return original, None, "attack failed"
    rebuilt: FloatImage = tensors["reconstruction"][tensors["matching"][0]]
    return original, rebuilt, PSNR.show(score)
