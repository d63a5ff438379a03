"""One private piece of data and everybody who attacked it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from fedsim.core.measures import Measure
from fedsim.log.run import Run
from fedsim.log.schema import (
    CONTROL,
    NAIVE,
    Attacker,
    LeakageRecord,
    Meaning,
    ReconstructionRecord,
)
from fedsim.show.report.words import WORST_FIRST, who


@dataclass(frozen=True)
class Attempt:
    """What one attacker made of one private piece of data.

    Attributes:
        leakage: the record of its score.
        reconstruction: the record of the attack.
        measure: of the score.
        at: the evaluation of each moment that is shown; empty if the log does not hold how it
            emerged.
        objectives: at each of them; None where it was not finite.
    """

    leakage: LeakageRecord
    reconstruction: ReconstructionRecord
    measure: Measure
    at: Sequence[int] = ()
    objectives: Sequence[float | None] = ()

    @property
    def attacker(self) -> Attacker:
        """Naive or adaptive."""
        return self.leakage.attacker

    @property
    def meaning(self) -> Meaning:
        """The score in a word."""
        return self.leakage.score.meaning

    @property
    def blind(self) -> float:
        """The score of the best blind guess at the same."""
        return self.leakage.score.blind(self.measure)

    @property
    def score(self) -> float | None:
        """By the measure; None if there is none."""
        return self.leakage.score.figure(self.measure)


@dataclass(frozen=True)
class Card:
    """One private piece of data.

    Attributes:
        who: whose it is, in words.
        partition: of its client; None for a sum or the control.
        group: the client group, or the positive control.
        defense: of the group, in words.
        server_round: in which it was attacked.
        example: its position in the batch, and how many there are in it.
        original: as the view's template shows it; None if the log does not hold it.
        attempts: at least one, the naive one first.
    """

    who: str
    partition: int | None
    group: str
    defense: str
    server_round: int
    example: tuple[int, int]
    original: object | None
    attempts: Sequence[Attempt]

    @property
    def key(self) -> str:
        """A name that is unique in the page and safe in it."""
        alone = "control" if self.is_control else "sum"
        who = alone if self.partition is None else f"c{self.partition}"
        return f"r{self.server_round}-{who}-{self.example[0]}"

    @property
    def is_control(self) -> bool:
        """Whether this is the adversary's own."""
        return self.group == CONTROL

    @property
    def worst(self) -> Attempt:
        """The attempt that found most."""
        return min(self.attempts, key=lambda a: (WORST_FIRST.index(a.meaning), -(a.score or 0)))

    @property
    def meanings(self) -> list[Meaning]:
        """The meanings of all attempts."""
        return [a.meaning for a in self.attempts]

    @property
    def gain(self) -> float | None:
        """How far the best reconstruction is above the best blind guess."""
        gains = [a.score - a.blind for a in self.attempts if a.score is not None]
        return max(gains, default=None)


@dataclass(frozen=True)
class Attacked:
    """The records of one private piece of data: one pair for each attacker."""

    pairs: Sequence[tuple[LeakageRecord, ReconstructionRecord]]
    batch: int

    @property
    def first(self) -> LeakageRecord:
        """The score under the first attacker."""
        return self.pairs[0][0]


def attacked(run: Run) -> Iterator[Attacked]:
    """Yield what was attacked, by round, client and position in the batch; the control last."""
    found = {r.victim: r for r in run.of_kind(ReconstructionRecord)}
    pieces: dict[tuple[int, bool, int, int], list[tuple[LeakageRecord, ReconstructionRecord]]] = {}
    for leakage in run.of_kind(LeakageRecord):
        key = (
            leakage.round,
            leakage.is_control,
            -1 if leakage.partition is None else leakage.partition,
            leakage.score.example,
        )
        if leakage.victim in found:
            pieces.setdefault(key, []).append((leakage, found[leakage.victim]))
    sizes: dict[tuple[int, bool, int], int] = {}
    for key in pieces:
        sizes[key[:3]] = sizes.get(key[:3], 0) + 1
    for key in sorted(pieces):
        pairs = sorted(pieces[key], key=lambda pair: pair[0].attacker != NAIVE)
        yield Attacked(pairs, sizes[key[:3]])


def card(
    one: Attacked,
    defenses: Mapping[str, str],
    original: object | None,
    attempts: Sequence[Attempt],
) -> Card:
    """Return the card of one private piece of data.

    Args:
        one: its records.
        defenses: of each group, in words.
        original: what the view shows of the private data.
        attempts: what it shows of each attack.
    """
    record = one.first
    return Card(
        who=who(record),
        partition=record.partition,
        group=record.who,
        defense=defenses.get(record.who, ""),
        server_round=record.round,
        example=(record.score.example, one.batch),
        original=original,
        attempts=attempts,
    )


def attempts_of(cards: Iterable[Card], group: str, attacker: str) -> Iterator[tuple[Card, Attempt]]:
    """Yield what one attacker made of one group."""
    for each in cards:
        if each.group == group:
            yield from ((each, a) for a in each.attempts if a.attacker == attacker)


def finite(value: float) -> float | None:
    """Return a number, or None in the place of one that is not finite."""
    return value if value - value == 0 else None
