"""The same private data under one defense at all of its strengths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fedsim.pictures.pixels import FloatImage
from fedsim.report.images import data_uri, strip
from fedsim.report.log import Run
from fedsim.report.victims.cards import Attacked, attacked
from fedsim.report.words import MEANINGS, who
from fedsim.runlog import Record
from fedsim.summary import UNSCORED

_PRIVATE, _NAIVE = "private", "naive"
_SIDE = 96
_MID_GREY = 0.5


@dataclass(frozen=True)
class Step:
    """One strength of a defense.

    Attributes:
        strength: in words; empty if there is but one.
        note: what else is to be said of it, such as the accuracy.
        run: a run at this strength.
    """

    strength: str
    note: str
    run: Run

    @property
    def name(self) -> str:
        """The strength and the note in a line."""
        return " · ".join(part for part in (self.strength, self.note) if part)


@dataclass(frozen=True)
class Film:
    """What is shown at each strength in one place.

    Attributes:
        title: above it.
        final: at the last strength, as a data URI.
        strip: all of them, as the base64 text of a PNG.
        now: what is said at each strength, and how: text, sign and css; None where nothing is.
    """

    title: str
    final: str
    strip: str
    now: Sequence[dict[str, str] | None]


@dataclass(frozen=True)
class Compared:
    """One defense in the eyes of one victim, at one stage of the training.

    Attributes:
        label: the defense.
        stage: name of the stage.
        who: whose data they are.
        names: of the strengths.
        films: the private data first, then each attacker.
    """

    label: str
    stage: str
    who: str
    names: Sequence[str]
    films: Sequence[Film]


@dataclass(frozen=True)
class _Shot:
    image: FloatImage
    said: dict[str, str] | None = None


def compare_pictures(
    label: str, stage: str, server_round: int, steps: Sequence[Step]
) -> Compared | None:
    """Return the first picture of the first victim under a defense; None if there is none.

    The same client, seed and round everywhere, so the same picture.

    Args:
        label: the defense.
        stage: name of the stage.
        server_round: the round of the stage.
        steps: the strengths, the weakest first.
    """
    found = [(step, victim) for step in steps if (victim := _first(step.run, server_round))]
    shots = [(step, shot) for step, victim in found if (shot := _shots(step.run, victim))]
    if not shots:
        return None
    attackers = sorted({a for _, shot in shots for a in shot}, key=_place)
    return Compared(
        label,
        stage,
        who(found[0][1].first),
        [step.name for step, _ in shots],
        [_film(attacker, [shot for _, shot in shots]) for attacker in attackers],
    )


def _place(attacker: str) -> tuple[bool, bool]:
    return attacker != _PRIVATE, attacker != _NAIVE


def _first(run: Run, server_round: int) -> Attacked | None:
    return next(
        (
            v
            for v in attacked(run)
            if v.first["round"] == server_round and v.first["group"] is not None
        ),
        None,
    )


def _shots(run: Run, victim: Attacked) -> dict[str, _Shot]:
    """Return what there is to see of a victim, by attacker; nothing if its files are gone."""
    shots: dict[str, _Shot] = {}
    for leakage, reconstruction in victim.pairs:
        arrays = run.arrays(reconstruction["tensors"])
        if arrays is None:
            continue
        original: FloatImage = arrays["original"][leakage["image"]]
        shots.setdefault(_PRIVATE, _Shot(original))
        image = np.full_like(original, _MID_GREY)
        if "matching" in arrays and "reconstruction" in arrays:
            image = arrays["reconstruction"][arrays["matching"][leakage["image"]]]
        shots[leakage["attacker"]] = _Shot(image, _said(leakage))
    return shots


def _film(attacker: str, shots: Sequence[dict[str, _Shot]]) -> Film:
    last = shots[-1].get(attacker, shots[-1][_PRIVATE]).image
    frames: list[_Shot] = []
    for shot in shots:
        nothing = _Shot(np.full_like(last, _MID_GREY), _missing("no attack on this strength"))
        one = shot.get(attacker, nothing)
        if one.image.shape != last.shape:
            one = _Shot(nothing.image, _missing("of another size"))
        frames.append(one)
    return Film(
        attacker,
        data_uri(frames[-1].image, _SIDE),
        strip([f.image for f in frames], _SIDE) if len(frames) > 1 else "",
        [f.said for f in frames],
    )


def _said(leakage: Record) -> dict[str, str]:
    about = MEANINGS[leakage["meaning"]]
    score = "" if leakage["psnr"] is None else f", {leakage['psnr']:.0f} dB"
    return {"css": about.css, "sign": about.sign, "text": f"{leakage['meaning']}{score}"}


def _missing(why: str) -> dict[str, str]:
    about = MEANINGS[UNSCORED]
    return {"css": about.css, "sign": about.sign, "text": why}
