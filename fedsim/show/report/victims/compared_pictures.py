"""The same private picture under one defense at all of its strengths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fedsim.log.run import Run
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
        final: at the last strength, as a data URI.
        strip: all of them, as the base64 text of a PNG.
    """

    final: str
    strip: str


def compare_pictures(
    label: str, stage: str, server_round: int, steps: Sequence[Step]
) -> Compared | None:
    """Return the same picture under a defense at all strengths; None if there is none."""
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
        nothing = Shot(np.full_like(last, _MID_GREY), missing("no attack on this strength"))
        one = shot.get(attacker, nothing)
        if one.shown.shape != last.shape:
            one = Shot(nothing.shown, missing("of another size"))
        frames.append(one)
    return PictureFilm(
        attacker,
        [f.said for f in frames],
        data_uri(frames[-1].shown, _SIDE),
        strip([f.shown for f in frames], _SIDE) if len(frames) > 1 else "",
    )
