"""The same private example under a defense at all strengths."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from fedsim.core.measures import Measure
from fedsim.log.run import Run
from fedsim.log.schema import NAIVE, ExampleScore, Meaning
from fedsim.show.report.victims.cards import Attacked, attacked
from fedsim.show.report.victims.odd import odd
from fedsim.show.report.words import MEANINGS, who

PRIVATE = "private"
Said = dict[str, str]
"""Caption: text, sign and css."""

T = TypeVar("T")


@dataclass(frozen=True)
class Step:
    """One strength of a defense.

    Attributes:
        strength: as text; empty if there is only one.
        note: a remark, such as the accuracy.
        run: a run at this strength.
    """

    strength: str
    note: str
    run: Run

    @property
    def name(self) -> str:
        """The strength and the note on one line."""
        return " · ".join(part for part in (self.strength, self.note) if part)


@dataclass(frozen=True)
class Film:
    """Contents of one column at each strength; views add the pictures or texts.

    Attributes:
        title: heading above it.
        now: caption at each strength, or None.
    """

    title: str
    now: Sequence[Said | None]


@dataclass(frozen=True)
class Compared:
    """One victim under a defense at all strengths, at one stage of the training.

    Attributes:
        label: the defense.
        stage: name of the stage.
        who: the victim's owner, in words.
        names: names of the strengths.
        films: the private data first, then each attacker.
        remarks: explanations of odd reconstructions.
    """

    label: str
    stage: str
    who: str
    names: Sequence[str]
    films: Sequence[Film]
    remarks: Sequence[str] = ()


@dataclass(frozen=True)
class Shot(Generic[T]):
    """Picture or text at one strength, with its caption."""

    shown: T
    said: Said | None = None


Shots = Mapping[str, Shot[T]]
"""Shots by attacker; the private example under `PRIVATE`."""


def compare(
    label: str,
    stage: str,
    server_round: int,
    steps: Sequence[Step],
    shots_of: Callable[[Run, Attacked], Shots[T]],
    film_of: Callable[[str, Sequence[Shots[T]]], Film],
) -> Compared | None:
    """Return the first example of the first victim under a defense, or None.

    Client, seed and round are the same for all strengths, and so are the data.

    Args:
        label: the defense.
        stage: name of the stage.
        server_round: the round of the stage.
        steps: the strengths, the weakest first.
        shots_of: returns the shots of a victim; empty if its files are missing.
        film_of: returns the film of an attacker at all strengths.
    """
    found = [(step, victim) for step in steps if (victim := _first(step.run, server_round))]
    shots = [(step, shot) for step, victim in found if (shot := shots_of(step.run, victim))]
    remarks = dict.fromkeys(line for step, victim in found for line in odd(step.run, victim))
    if not shots:
        return None
    attackers = sorted({a for _, shot in shots for a in shot}, key=_place)
    return Compared(
        label,
        stage,
        who(found[0][1].first),
        [step.name for step, _ in shots],
        [film_of(attacker, [shot for _, shot in shots]) for attacker in attackers],
        list(remarks),
    )


def said(score: ExampleScore, measure: Measure) -> Said:
    """Return the caption of a score."""
    about, figure = MEANINGS[score.meaning], score.figure(measure)
    shown = "" if figure is None else f", {measure.show(figure)}"
    return {"css": about.css, "sign": about.sign, "text": f"{score.meaning}{shown}"}


def missing(why: str) -> Said:
    """Return the caption of a missing shot."""
    about = MEANINGS[Meaning.UNSCORED]
    return {"css": about.css, "sign": about.sign, "text": why}


def _place(attacker: str) -> tuple[bool, bool]:
    return attacker != PRIVATE, attacker != NAIVE


def _first(run: Run, server_round: int) -> Attacked | None:
    return next(
        (v for v in attacked(run) if v.first.round == server_round and not v.first.is_control),
        None,
    )
