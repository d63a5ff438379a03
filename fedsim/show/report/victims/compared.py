"""The same private data under one defense at all of its strengths."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from fedsim.core.measures import Measure
from fedsim.log.run import Run
from fedsim.log.schema import NAIVE, ExampleScore, Meaning
from fedsim.show.report.victims.cards import Attacked, attacked
from fedsim.show.report.words import MEANINGS, who

PRIVATE = "private"
Said = dict[str, str]
"""What stands below something: text, sign and css."""

T = TypeVar("T")


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
    """What is shown at each strength in one place; a view adds how.

    Attributes:
        title: above it.
        now: what is said at each strength; None where nothing is.
    """

    title: str
    now: Sequence[Said | None]


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
class Shot(Generic[T]):
    """What there is to see at one strength, and what is said of it."""

    shown: T
    said: Said | None = None


Shots = Mapping[str, Shot[T]]
"""By attacker; the private data under `PRIVATE`."""


def compare(
    label: str,
    stage: str,
    server_round: int,
    steps: Sequence[Step],
    shots_of: Callable[[Run, Attacked], Shots[T]],
    film_of: Callable[[str, Sequence[Shots[T]]], Film],
) -> Compared | None:
    """Return the first piece of data of the first victim under a defense; None if there is none.

    The same client, seed and round everywhere, so the same data.

    Args:
        label: the defense.
        stage: name of the stage.
        server_round: the round of the stage.
        steps: the strengths, the weakest first.
        shots_of: returns what there is to see of a victim; nothing if its files are gone.
        film_of: returns what is shown of an attacker at all strengths.
    """
    found = [(step, victim) for step in steps if (victim := _first(step.run, server_round))]
    shots = [(step, shot) for step, victim in found if (shot := shots_of(step.run, victim))]
    if not shots:
        return None
    attackers = sorted({a for _, shot in shots for a in shot}, key=_place)
    return Compared(
        label,
        stage,
        who(found[0][1].first),
        [step.name for step, _ in shots],
        [film_of(attacker, [shot for _, shot in shots]) for attacker in attackers],
    )


def said(score: ExampleScore, measure: Measure) -> Said:
    """Return the score in a word and a figure."""
    about, figure = MEANINGS[score.meaning], score.figure(measure)
    shown = "" if figure is None else f", {measure.show(figure)}"
    return {"css": about.css, "sign": about.sign, "text": f"{score.meaning}{shown}"}


def missing(why: str) -> Said:
    """Return why there is nothing to see."""
    about = MEANINGS[Meaning.UNSCORED]
    return {"css": about.css, "sign": about.sign, "text": why}


def _place(attacker: str) -> tuple[bool, bool]:
    return attacker != PRIVATE, attacker != NAIVE


def _first(run: Run, server_round: int) -> Attacked | None:
    return next(
        (v for v in attacked(run) if v.first.round == server_round and not v.first.is_control),
        None,
    )
