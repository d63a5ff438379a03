"""Records about the same victim under every defense."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fedsim.core.errors import RunError
from fedsim.core.measures import Measure
from fedsim.core.names import OVER_ROUNDS
from fedsim.log.reader import of_kind, read_records
from fedsim.log.schema import (
    NAIVE,
    Attacker,
    LeakageRecord,
    LogRecord,
    ReconstructionRecord,
    RunStarted,
    SumRecord,
)
from fedsim.scenario.comparison import Comparison
from fedsim.scenario.grid import Place


@dataclass(frozen=True)
class Look:
    """One run's first victim under one attacker.

    Attributes:
        place: position of the run in the comparison.
        folder: the run folder.
        leakage: record of the score of the first example of its batch.
        measure: measure of the score.
        tensors: path of its tensors in the folder.
    """

    place: Place
    folder: Path
    leakage: LeakageRecord
    measure: Measure
    tensors: str

    @property
    def strength(self) -> str:
        """The strength without the name of its parameter."""
        return self.place.brief


def looks(
    comparison: Comparison, folders: Sequence[tuple[Place, Path]], stage: str, attacker: Attacker
) -> Iterator[Look]:
    """Yield the first victim of each run of the first seed: the same client and data.

    Args:
        comparison: the comparison, with its stages.
        folders: each cell with its run folder.
        stage: name of the stage.
        attacker: naive or adaptive; without a countermeasure the naive attacker's victim is shown.
    """
    first: int | None = None
    for place, folder in folders:
        if place.seed != comparison.seeds[0]:
            continue
        run = _run(folder)
        victims = _victims(run, comparison.stages[stage])
        if not victims:
            continue
        if first is None:
            first = min((v.partition for v in victims if v.partition is not None), default=None)
        example = 0
        if victims[0].partition is None:
            example = _place_in_sum(run, comparison.stages[stage], first)
        look = _look(place, folder, run, victims, attacker, example)
        if look is not None:
            yield look


def _run(folder: Path) -> list[LogRecord]:
    try:
        return list(read_records(folder))
    except RunError:
        return []


def _victims(run: Sequence[LogRecord], server_round: int) -> list[LeakageRecord]:
    found = of_kind(run, LeakageRecord)
    return [r for r in found if r.round == server_round and not r.is_control]


def _place_in_sum(run: Sequence[LogRecord], server_round: int, client: int | None) -> int:
    """Return the position of a client's first example among those behind a sum.

    Clients are in order. For no client, or a client whose upload is not in the sum, it is 0.
    """
    for total in of_kind(run, SumRecord):
        if total.round == server_round and client in total.partitions:
            each = total.examples // len(total.partitions)
            return total.partitions.index(client) * each
    return 0


def _look(
    place: Place,
    folder: Path,
    run: Sequence[LogRecord],
    victims: Sequence[LeakageRecord],
    attacker: Attacker,
    example: int,
) -> Look | None:
    client = min((v.partition for v in victims if v.partition is not None), default=None)
    own = {
        v.attacker: v
        for v in reversed(victims)
        if v.partition == client and v.score.example == example
    }
    record = own.get(attacker)
    if record is None and attacker != OVER_ROUNDS:
        record = own.get(NAIVE)
    tensors = {r.victim: r.tensors for r in of_kind(run, ReconstructionRecord)}
    if record is None or record.victim not in tensors:
        return None
    [start] = of_kind(run, RunStarted)
    return Look(place, folder, record, start.measure, tensors[record.victim])
