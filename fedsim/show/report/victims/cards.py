"""Card of one private example, with its attackers."""

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
from fedsim.log.summary import WORST_FIRST
from fedsim.show.report.words import who


@dataclass(frozen=True)
class Attempt:
    """Reconstruction of one private example by one attacker.

    Attributes:
        leakage: the record of its score.
        reconstruction: the record of the attack.
        measure: measure of the score.
        at: the evaluation of each displayed snapshot; empty if the log has no snapshots.
        objectives: objective at each of them; None if not finite.
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
        """Meaning of the score."""
        return self.leakage.score.meaning

    @property
    def blind(self) -> float:
        """Score of the best blind guess for the same example."""
        return self.leakage.score.blind(self.measure)

    @property
    def score(self) -> float | None:
        """Score by the measure, or None."""
        return self.leakage.score.figure(self.measure)


@dataclass(frozen=True)
class Card:
    """Card of one private example.

    Attributes:
        who: its owner, in words.
        partition: partition of its client; None for a sum or the control.
        group: the client group, or the positive control.
        defense: the group's defense, in words.
        server_round: the round of the attack.
        example: its index in the batch, and the size of the batch.
        original: the example in the form of the view's template; None if the log does not have it.
        attempts: at least one, the naive one first.
        caption: whether the original is the private example, or a blind guess in its place.
        remarks: explanations of odd reconstructions.
    """

    who: str
    partition: int | None
    group: str
    defense: str
    server_round: int
    example: tuple[int, int]
    original: object | None
    attempts: Sequence[Attempt]
    caption: str = "private"
    remarks: Sequence[str] = ()

    @property
    def key(self) -> str:
        """Name that is unique and safe in the page."""
        alone = "control" if self.is_control else "sum"
        who = alone if self.partition is None else f"c{self.partition}"
        return f"r{self.server_round}-{who}-{self.example[0]}"

    @property
    def is_control(self) -> bool:
        """Whether this is the positive control."""
        return self.group == CONTROL

    @property
    def worst(self) -> Attempt:
        """The attempt with the most leakage."""
        return min(self.attempts, key=lambda a: (WORST_FIRST.index(a.meaning), -(a.score or 0)))

    @property
    def unknown(self) -> bool:
        """Whether the private example is unknown, so that nothing was compared with it."""
        return Meaning.NOT_COMPARED in self.meanings

    @property
    def meanings(self) -> list[Meaning]:
        """Meanings of all attempts."""
        return [a.meaning for a in self.attempts]

    @property
    def gain(self) -> float | None:
        """Gain of the best reconstruction over the best blind guess."""
        gains = [a.score - a.blind for a in self.attempts if a.score is not None]
        return max(gains, default=None)


@dataclass(frozen=True)
class Attacked:
    """Records of one private example: one pair for each attacker."""

    pairs: Sequence[tuple[LeakageRecord, ReconstructionRecord]]
    batch: int

    @property
    def first(self) -> LeakageRecord:
        """Score under the first attacker."""
        return self.pairs[0][0]


def attacked(run: Run) -> Iterator[Attacked]:
    """Yield the attacked examples by round, client and index in the batch; the control last."""
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
    caption: str = "private",
) -> Card:
    """Return the card of one private example.

    Args:
        one: its records.
        defenses: defense of each group, in words.
        original: the private example in the form of the view.
        attempts: the attempts in the form of the view.
        caption: caption of the original.
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
        caption=caption,
    )


def attempts_of(cards: Iterable[Card], group: str, attacker: str) -> Iterator[tuple[Card, Attempt]]:
    """Yield one attacker's attempts on one group."""
    for each in cards:
        if each.group == group:
            yield from ((each, a) for a in each.attempts if a.attacker == attacker)


def finite(value: float) -> float | None:
    """Return a number, or None if it is not finite."""
    return value if value - value == 0 else None
